package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/view"
	"breakwater.dev/policy/internal/yamlwalk"
)

// View returns the set as people read it, for [json.Marshal]: every field in a fixed
// order, durations as "30s", shares as "50%", and each document that something comes
// from as "name file:line".
func (s *Set) View() any { return notation(true).Of(s) }

// Print returns the view of a set as YAML.
func Print(s *Set) ([]byte, error) {
	var buf bytes.Buffer
	encoder := yaml.NewEncoder(&buf)
	encoder.SetIndent(2)
	if err := encoder.Encode(view.YAML(s.View())); err != nil {
		return nil, fmt.Errorf("printing a set: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("printing a set: %w", err)
	}
	return buf.Bytes(), nil
}

// revision is a hash of what upstreams mean, without where they were written.
func revision(upstreams []*Upstream) string {
	sum := sha256.Sum256([]byte(view.Canonical(notation(false).Of(upstreams))))
	return hex.EncodeToString(sum[:8])
}

// notation is how policies write things; origins are where things were written.
func notation(origins bool) view.Notation {
	return view.Notation{
		Value: notate,
		Field: func(owner reflect.Type, f reflect.StructField, value any) (any, bool) {
			if !origins && (f.Type == reflect.TypeFor[Origin]() || f.Type == reflect.TypeFor[[]Origin]()) {
				return nil, false
			}
			if owner == reflect.TypeFor[outlier.Config]() && isPercent(f.Name) {
				return fmt.Sprintf("%d%%", value), true
			}
			if owner == reflect.TypeFor[breaker.Config]() && f.Name == "BackoffMultiplier" {
				return float64(value.(uint32)) / 100, true
			}
			return value, true
		},
	}
}

func notate(v any) (any, bool) {
	switch x := v.(type) {
	case time.Duration:
		return yamlwalk.FormatDuration(x), true
	case breaker.Key:
		return x.String(), true
	case breaker.Ratio:
		return x.String(), true
	case breaker.Mode:
		return x.String(), true
	case breaker.ClientGone:
		return x.String(), true
	case *Classifier:
		return x.view(), true
	case Origin:
		return fmt.Sprintf("%s %s:%d", x.Name, x.File, x.Line), true
	case encoding.TextMarshaler: // an address
		return fmt.Sprint(x), true
	}
	return nil, false
}

// isPercent tells the percentages of outlier detection, which are plain numbers
// there, from its counts.
func isPercent(field string) bool {
	return strings.HasPrefix(field, "Enforcing") || field == "MaxEjectionPercent" || field == "FailurePercentageThreshold"
}

// view lists what is not a success, runs of status codes as "500-599".
func (c *Classifier) view() view.Object {
	list := func(o breaker.Outcome) view.Object {
		status, grpc := []any{}, []any{}
		for low := 0; low < len(c.http); low++ {
			if c.http[low] != o {
				continue
			}
			high := low
			for high+1 < len(c.http) && c.http[high+1] == o {
				high++
			}
			text := fmt.Sprint(low)
			if high > low {
				text = fmt.Sprintf("%d-%d", low, high)
			}
			status, low = append(status, text), high
		}
		for code, name := range grpcCodes {
			if c.grpc[code] == o {
				grpc = append(grpc, name)
			}
		}
		return view.Object{{Name: "statusCodes", Value: status}, {Name: "grpcStatus", Value: grpc}}
	}
	return view.Object{{Name: "failure", Value: list(breaker.Failure)}, {Name: "ignore", Value: list(breaker.Ignored)}}
}
