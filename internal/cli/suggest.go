package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"breakwater.dev/api"
	"breakwater.dev/internal/nearest"
)

// Suggest adds the keys that may have been meant to an error that says that there is no breaker of a key.
func Suggest(ctx context.Context, c *api.Client, key string, err error) error {
	var no *api.StatusError
	if !errors.As(err, &no) || no.Status != http.StatusNotFound {
		return err
	}
	known, listErr := Keys(ctx, c)
	near := meant(key, known)
	if listErr != nil || len(near) == 0 {
		return fmt.Errorf("%w; 'breakwater breakers list' shows all", err)
	}
	return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
}

// meant returns up to three keys that an operator may have meant, the nearest first.
func meant(key string, known []string) []string {
	type candidate struct {
		key      string
		distance int
	}
	var near []candidate
	for _, k := range known {
		d := nearest.Distance(strings.ToLower(key), strings.ToLower(k))
		part := len(key) > 2 && strings.Contains(strings.ToLower(k), strings.ToLower(key))
		if d <= max(1, len(key)/3) || part {
			near = append(near, candidate{k, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var found []string
	for _, n := range near[:min(3, len(near))] {
		found = append(found, n.key)
	}
	return found
}
