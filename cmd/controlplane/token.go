package main

import (
	"fmt"
	"os"
	"strings"
)

// tokenEnv holds the admin token where no file is named.
const tokenEnv = "BREAKWATER_ADMIN_TOKEN"

// minTokenLength refuses tokens that can be guessed.
const minTokenLength = 16

// token is the admin token, which changes by hand need.
type token struct {
	text   string // empty: there is none
	source string // the name of the file or of the environment variable
}

// findToken reads the token from file, or where none is named from the environment. A
// file that holds none is an error.
func findToken(file string) (token, error) {
	if file == "" {
		return token{strings.TrimSpace(os.Getenv(tokenEnv)), tokenEnv}.check()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return token{}, fmt.Errorf("reading the admin token: %w", err)
	}
	t := token{strings.TrimSpace(string(text)), file}
	if t.text == "" {
		return token{}, fmt.Errorf("reading the admin token: %s is empty", file)
	}
	return t.check()
}

// check refuses tokens that do not fit into an HTTP header.
func (t token) check() (token, error) {
	for _, r := range t.text {
		if r <= ' ' || r > '~' {
			return token{}, fmt.Errorf("the admin token of %s has a character that is not visible ASCII; it must be one word", t.source)
		}
	}
	return t, nil
}

// serverToken is findToken for a server, which others may try to guess the token of.
func serverToken(file string) (token, error) {
	t, err := findToken(file)
	if n := len(t.text); err == nil && n > 0 && n < minTokenLength {
		return token{}, fmt.Errorf("the admin token of %s is too short: it has %d characters, %d are needed; make one with 'openssl rand -hex 16'", t.source, n, minTokenLength)
	}
	return t, err
}

// readsToken returns a function that reads the token of a server each time, so that the
// file can be replaced. It is an error when the present token cannot be used.
func readsToken(file string) (func() (string, error), error) {
	read := func() (string, error) {
		t, err := serverToken(file)
		return t.text, err
	}
	_, err := read()
	return read, err
}

// refused says what to do about an answer that the token is wrong or missing.
func (t token) refused(answer string) string {
	if t.text == "" {
		return fmt.Sprintf("the control plane wants its admin token: give --admin-token-file or %s (it says: %s)", tokenEnv, answer)
	}
	return fmt.Sprintf("the control plane did not accept the admin token of %s (it says: %s)", t.source, answer)
}
