package yamlwalk

import (
	"fmt"
	"strings"

	"breakwater.dev/internal/nearest"
)

var separators = strings.NewReplacer("_", "", "-", "")

// fold removes the difference between spellings such as failure_rate and failureRate.
func fold(s string) string { return strings.ToLower(separators.Replace(s)) }

// Nearest returns the word that name was probably meant to be: a word that is close, or the same word with
// its unit, as timeout_seconds for timeout. ok is false if there is none.
func Nearest(name string, words []string) (word string, ok bool) {
	if len(name) > 64 {
		return "", false
	}
	for _, w := range words {
		if w == name+"_seconds" {
			return w, true
		}
	}
	name = fold(name)
	best, distance := "", 1+min(3, len(name)/3)
	for _, w := range words {
		if d := nearest.Distance(name, fold(w)); d < distance {
			best, distance = w, d
		}
	}
	return best, best != ""
}

// Suggest adds to want the word that name was probably meant to be, if there is one.
func Suggest(want, name string, words []string) string {
	if near, ok := Nearest(name, words); ok {
		return fmt.Sprintf("%s (%s, if that was meant)", want, near)
	}
	return want
}
