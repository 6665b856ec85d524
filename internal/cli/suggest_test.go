package cli

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"external_api", "payments", "payments/charge", "payments/refund", "payments/list", "Redis", "stock"}
	for key, want := range map[string]string{
		"paymets":         "payments",
		"payment":         "payments payments/list payments/charge",
		"PAYMENTS":        "payments payments/list payments/charge",
		"payments/charg":  "payments/charge",
		"redis":           "Redis",
		"rediss":          "Redis",
		"stok":            "stock",
		"st":              "",
		"warehouse":       "",
		"external-api":    "external_api",
		"charge":          "payments/charge",
		"payments@node-9": "",
	} {
		if got := strings.Join(meant(key, known), " "); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}
