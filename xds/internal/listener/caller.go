package listener

import (
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	customheaderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"breakwater.dev/xds/internal/message"
)

const (
	// envoyHeaders begins the names of the headers by which a caller can steer Envoy: timeouts, tries, hedging, names of
	// statistics. The policy decides on these, and not the caller.
	envoyHeaders = "x-envoy-"
	// noAddress is the header in which Envoy looks for a caller's address. It begins with envoyHeaders, so no request has
	// it, and Envoy believes no address.
	noAddress = envoyHeaders + "breakwater-address"
)

// withoutSteering removes the headers that steer Envoy from a request before anything reads them. Envoy removes some of
// them itself where it does not trust the caller, but by far not all: it follows x-envoy-upstream-stream-duration-ms
// from any caller (measured with 1.40).
func withoutSteering() ([]*corev3.TypedExtensionConfig, error) {
	packed, err := message.Pack(&earlyv3.HeaderMutation{Mutations: []*mutationv3.HeaderMutation{{
		Action: &mutationv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{
			KeyMatcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: envoyHeaders}},
		}},
	}}})
	if err != nil {
		return nil, err
	}
	return []*corev3.TypedExtensionConfig{{Name: "envoy.http.early_header_mutation.header_mutation", TypedConfig: packed}}, nil
}

// withoutClaims has Envoy believe no address that a caller claims. Without a detection of its own it reads
// X-Forwarded-For, and trusts one private address. An internal_address_config without addresses changes nothing; addresses
// in it only say which address to claim.
func withoutClaims() ([]*corev3.TypedExtensionConfig, error) {
	packed, err := message.Pack(&customheaderv3.CustomHeaderConfig{HeaderName: noAddress})
	if err != nil {
		return nil, err
	}
	return []*corev3.TypedExtensionConfig{{Name: "envoy.http.original_ip_detection.custom_header", TypedConfig: packed}}, nil
}
