package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

var (
	// ErrServer says that an address is neither host:port nor an http or https URL.
	ErrServer = errors.New("it is neither host:port nor a URL such as " + DefaultServer)
	// ErrKey says that a key cannot name a breaker, see [ValidKey].
	ErrKey = errors.New("it is neither SERVICE, SERVICE/ROUTE, nor one of them with @NODE")
	// ErrPlainToken says that the admin token would be sent to another host in plain text.
	ErrPlainToken = errors.New("the admin token would be sent in plain text, for everybody on the way to read")
	// ErrWantsTLS says that the server wants TLS, and was asked in plain text.
	ErrWantsTLS = errors.New("it speaks TLS; its URL has to begin with https://")
	// ErrSilent says that a stream gave no sign of life for too long.
	ErrSilent = errors.New("the stream says nothing any more")
)

// UnreachableError says that there was no answer from a control plane. Err is why; it is or wraps
// [context.DeadlineExceeded] where the answer took too long, and errors of crypto/x509 where the
// certificate is not trusted.
type UnreachableError struct {
	Server string // URL
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach the control plane at %s: %v", e.Server, e.Err)
}

// Unwrap returns why there was no answer.
func (e *UnreachableError) Unwrap() error { return e.Err }

// AnswerError says that an answer is not one of a control plane, or of another version, or that it was cut off.
type AnswerError struct {
	Server  string // URL
	Request string // method and path
	Status  string // such as "404 Not Found"; "": the status was right, and the body was not
	// Err says what is wrong with the body. It wraps [io.ErrUnexpectedEOF] where the answer ended in its middle, and is
	// nil where the status says it all.
	Err error
}

func (e *AnswerError) Error() string {
	switch {
	case e.Status == "" && errors.Is(e.Err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the control plane at %s ended in the middle of its answer to %s", e.Server, e.Request)
	case e.Status == "":
		return fmt.Sprintf("%s is not a control plane of Breakwater, or another version: the answer to %s cannot be read: %v", e.Server, e.Request, e.Err)
	case e.Err != nil:
		return fmt.Sprintf("%s answered %s to %s: %v", e.Server, e.Status, e.Request, e.Err)
	default:
		return fmt.Sprintf("%s is not a control plane of Breakwater, or another version: it answered %s to %s", e.Server, e.Status, e.Request)
	}
}

// Unwrap returns what is wrong with the body.
func (e *AnswerError) Unwrap() error { return e.Err }

// StatusError is an answer by which the control plane says no.
type StatusError struct {
	Status  int    // such as [net/http.StatusNotFound]
	Message string // the control plane's own words
}

func (e *StatusError) Error() string { return e.Message }

// lateError says that an answer took too long.
type lateError struct{ timeout time.Duration }

func (e lateError) Error() string { return fmt.Sprintf("no answer within %s", e.timeout) }

// Is makes it a [context.DeadlineExceeded].
func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }
