package byhand

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
)

// Refusal is why a change by hand is not made.
type Refusal struct {
	Status int // the HTTP status of the answer
	Text   string
}

// Authorize checks header, the request's Authorization, against the token that is
// configured; "": there is none. White space around the token is not part of it. It returns nil where they agree.
func Authorize(token, header string) *Refusal {
	token = strings.TrimSpace(token)
	if token == "" {
		return &Refusal{http.StatusForbidden, "changes by hand need an admin token, and none is configured: " +
			"start with `breakwater serve --admin-token-file FILE`, or with the environment variable BREAKWATER_ADMIN_TOKEN"}
	}
	scheme, given, _ := strings.Cut(header, " ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
		return &Refusal{http.StatusUnauthorized, "changes by hand need the header `Authorization: Bearer TOKEN` with the admin token"}
	}
	return nil
}

func wrong(format string, args ...any) *Refusal {
	return &Refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}
