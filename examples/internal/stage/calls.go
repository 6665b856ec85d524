package stage

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// Reply is the response that a caller got. Without a response, the status is 0 and the body is the error.
type Reply struct {
	Status     int
	Body       string
	RetryAfter string // the header of that name
	Took       time.Duration
}

// Get makes a request with a Host header; "": the one of url.
func Get(ctx context.Context, url, host string) Reply {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Reply{Body: err.Error()}
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Reply{Body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Reply{Body: err.Error()}
	}
	return Reply{
		Status: resp.StatusCode, Body: strings.TrimSpace(string(body)),
		RetryAfter: resp.Header.Get("retry-after"), Took: time.Since(began),
	}
}
