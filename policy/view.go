package policy

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/view"
)

// View returns the set for users to read, ready for [json.Marshal]: every field in a
// fixed order, durations as "30s", shares as "50%", and the document that a value was
// written in as "name file:line".
func (s *Set) View() any { return notation.Show(s) }

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

// view lists the answers that are failures or ignored. Status codes in a row are shown
// as "500-599".
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
