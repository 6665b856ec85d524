package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// findStateDir returns the directory that keeps breakers over a restart, where no flag names one. It is
// empty, after a warning, where no directory can be used: a control plane has work to do also in a
// container whose files cannot be written.
func findStateDir(lookup func(string) string, listen string, log *slog.Logger) string {
	dir, given := stateDir(lookup, listen)
	if given {
		return dir
	}
	reason := "there is no home directory, or the port of --xds-listen is another one each time"
	if dir != "" {
		err := usable(dir)
		if err == nil {
			return dir
		}
		reason = err.Error()
	}
	log.Warn("the state of breakers is not kept: all are closed after a restart; name a directory with --state-dir, or \"\" where that is meant", "reason", reason)
	return ""
}

// stateDir returns the directory for the state of breakers where no flag names one; given reports
// whether the environment chose it, so that it has to be usable.
//
// systemd gives a unit its own by StateDirectory=. Else it is the user's, as the XDG
// base directory specification has it. There each control plane has one of its own, named
// after the address that no other can have at the same time. The directory is empty
// where there is no such place: no home, or a port that is another one each time.
func stateDir(lookup func(string) string, listen string) (dir string, given bool) {
	if dirs := lookup("STATE_DIRECTORY"); dirs != "" {
		dir, _, _ = strings.Cut(dirs, ":")
		return dir, true
	}
	if strings.HasSuffix(listen, ":0") {
		return "", false
	}
	home := lookup("XDG_STATE_HOME")
	if !filepath.IsAbs(home) { // which the specification has us ignore
		user := lookup("HOME")
		if !filepath.IsAbs(user) {
			return "", false
		}
		home = filepath.Join(user, ".local", "state")
	}
	return filepath.Join(home, "breakwater", fileName(listen)), false
}

// fileName makes one word of an address.
func fileName(address string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		default:
			return '_'
		}
	}, address)
}

// usable makes the directory if it is not there, and tries to write into it.
func usable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return fmt.Errorf("writing into the directory: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing into the directory: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("removing from the directory: %w", err)
	}
	return nil
}
