package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// Classifier decides which outcome a response is. For the zero value every response is a success. It is
// read only, so any number of goroutines can use it.
type Classifier struct {
	http [600]breaker.Outcome // by status code
	grpc [17]breaker.Outcome  // by gRPC status code
	// firstFailure is the lowest HTTP status code that is a failure; 0: none is.
	firstFailure uint32
}

// FirstFailure returns the lowest HTTP status code that is a failure; 0: none is.
func (c *Classifier) FirstFailure() uint32 { return c.firstFailure }

// HTTP returns the outcome of an HTTP response with a status code. A code outside 0 to 599 is a failure.
func (c *Classifier) HTTP(status int) breaker.Outcome {
	if status < 0 || status >= len(c.http) {
		return breaker.Failure
	}
	return c.http[status]
}

// GRPC returns the outcome of a gRPC response with a status code. A code that gRPC does not define counts
// as UNKNOWN.
func (c *Classifier) GRPC(code int) breaker.Outcome {
	if code < 0 || code >= len(c.grpc) {
		code = 2
	}
	return c.grpc[code]
}

// grpcCodes are the names of gRPC's status codes, by number.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
	"OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// codes are the status codes of failures, or of ignored responses, as policies write them.
type codes struct {
	status []string // "503", or "5xx" for a class
	grpc   []string
}

// classify reads the rules for outcomes.
func (s *settings) classify(v yamlwalk.Value) {
	v.Object(yamlwalk.Fields{
		"failure":    func(v yamlwalk.Value) { v.Object(s.failure.fields()) },
		"ignore":     func(v yamlwalk.Value) { v.Object(s.ignore.fields()) },
		"clientGone": yamlwalk.Choice(&s.gone, breaker.GoneIgnored, breaker.GoneSlow, breaker.GoneFailure),
	})
	s.outcomes = s.classifier()
}

func (c *codes) fields() yamlwalk.Fields {
	return yamlwalk.Fields{
		"statusCodes": func(v yamlwalk.Value) {
			c.status = []string{}
			v.Each(func(v yamlwalk.Value) {
				c.status = appendCode(c.status, v, func(dst *string) yamlwalk.Field {
					return yamlwalk.Word(dst, "a status code such as 503, or a class such as 5xx", "bad-status", statusCode.MatchString)
				})
			})
		},
		"grpcStatus": func(v yamlwalk.Value) {
			c.grpc = []string{}
			v.Each(func(v yamlwalk.Value) {
				c.grpc = appendCode(c.grpc, v, func(dst *string) yamlwalk.Field {
					return yamlwalk.OneOf(dst, grpcCodes[1:]...)
				})
			})
		},
	}
}

var statusCode = regexp.MustCompile(`^[1-5]([0-9][0-9]|xx)$`)

// appendCode adds a code to a list, if it is right and not there yet.
func appendCode(list []string, v yamlwalk.Value, read func(*string) yamlwalk.Field) []string {
	var code string
	read(&code)(v)
	if code == "" || slices.Contains(list, code) {
		return list
	}
	return append(list, code)
}

// classifier makes the table of outcomes. A code wins over its class: with failure "5xx" and ignore "501",
// every 5xx but 501 is a failure.
func (s *settings) classifier() *Classifier {
	c := &Classifier{}
	for _, class := range []bool{true, false} {
		c.mark(s.failure, breaker.Failure, class)
		c.mark(s.ignore, breaker.Ignored, class)
	}
	c.firstFailure = uint32(max(0, slices.IndexFunc(c.http[:], breaker.Outcome.Failed)))
	return c
}

// mark sets the outcome for the codes of a list: for gRPC codes always, and for HTTP codes either classes or
// single codes.
func (c *Classifier) mark(list codes, o breaker.Outcome, class bool) {
	for _, text := range list.status {
		if isClass := text[1] == 'x'; isClass != class {
			continue
		}
		low := int(text[0]-'0') * 100
		high := low + 99
		if n, err := strconv.Atoi(text); err == nil {
			low, high = n, n
		}
		for status := low; status <= high; status++ {
			c.http[status] = o
		}
	}
	for _, text := range list.grpc {
		c.grpc[slices.Index(grpcCodes, text)] = o
	}
}

// checkClassify reports codes that are in both lists.
func (fs *findings) checkClassify(s *settings) {
	both := func(field string, failure, ignore []string) {
		for _, code := range ignore {
			if slices.Contains(failure, code) {
				at := s.places.at("spec.classify.ignore."+field, "nothing")
				fs.failAs(at, code, fmt.Sprintf("in one of failure.%s and ignore.%s", field, field), "contradiction")
			}
		}
	}
	both("statusCodes", s.failure.status, s.ignore.status)
	both("grpcStatus", s.failure.grpc, s.ignore.grpc)
}
