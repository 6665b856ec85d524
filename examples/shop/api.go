package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	apiConnections = 50
	largestProfile = 64 << 10
	// apiPatience is longer than the policy's timeout for the API, so that the proxy ends a slow
	// call and its breaker counts the timeout.
	apiPatience = 30 * time.Second
)

// errRejected means that the API's breaker is open, so that the proxy rejected the call.
var errRejected = errors.New("the API is unavailable")

// api calls the external API through the proxy. Its breaker is in the proxy, not in this process.
type api struct {
	url    string
	client *http.Client
}

func openAPI(address string, proxy *url.URL) *api {
	return &api{url: address, client: &http.Client{
		Timeout: apiPatience,
		Transport: &http.Transport{
			Proxy: http.ProxyURL(proxy), MaxConnsPerHost: apiConnections, MaxIdleConnsPerHost: apiConnections,
		},
	}}
}

func (a *api) close() { a.client.CloseIdleConnections() }

// profile returns the API's profile of a user, as JSON.
func (a *api) profile(ctx context.Context, id int64) (json.RawMessage, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/profiles/%d", a.url, id), nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestProfile))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusServiceUnavailable:
		return nil, errRejected
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the API answered %d", resp.StatusCode)
	case !json.Valid(body):
		return nil, errors.New("the API's response is not JSON")
	}
	return body, nil
}
