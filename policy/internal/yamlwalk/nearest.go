package yamlwalk

import (
	"fmt"
	"strings"

	"breakwater.dev/internal/nearest"
)

var separators = strings.NewReplacer("_", "", "-", "")

// fold forgets what tells failure_rate from failureRate.
func fold(s string) string { return strings.ToLower(separators.Replace(s)) }

// Nearest returns the word that was probably meant by name.
func Nearest(name string, words []string) (string, bool) {
	if len(name) > 64 {
		return "", false
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

// Suggest adds to want the word that was probably meant.
func Suggest(want, name string, words []string) string {
	if near, ok := Nearest(name, words); ok {
		return fmt.Sprintf("%s (%s, if that was meant)", want, near)
	}
	return want
}
