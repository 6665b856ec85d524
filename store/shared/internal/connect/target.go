package connect

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// kind says what is at the addresses of a URL.
type kind int

const (
	single    kind = iota // one server
	sentinels             // Sentinels, which know the server
	cluster               // some servers of a cluster, which know the others
)

// target has the parts of a URL.
type target struct {
	kind  kind
	tls   bool
	addrs []string // host:port each
	db    int
	// user and password; "": none.
	user, password string
	// primary is the name of the primary that the Sentinels watch.
	primary string
	// sentinelAuth says that the Sentinels want the same user and password.
	sentinelAuth bool
}

// schemes are the schemes of URLs. The same with "rediss" in the place of "redis" is for TLS.
var schemes = map[string]kind{"redis": single, "redis-sentinel": sentinels, "redis-cluster": cluster}

// errScheme does not repeat the URL, which has no known form and may have a password anywhere.
var errScheme = errors.New("must begin with redis://, redis-sentinel:// or redis-cluster://, or for TLS with rediss://, rediss-sentinel:// or rediss-cluster://")

// parse reads a URL. It does not use [url.Parse], which allows one host only. No error has a part of the URL that may be from a
// password.
func parse(text string) (target, error) {
	scheme, rest, found := strings.Cut(text, "://")
	plain := strings.Replace(scheme, "rediss", "redis", 1)
	kind, known := schemes[plain]
	if !found || !known {
		return target{}, errScheme
	}
	t := target{kind: kind, tls: scheme != plain}
	authority, path, parameters := split(rest)
	if strings.Contains(path+parameters, "@") {
		return target{}, errors.New("has an @ behind its addresses; in a password the characters / ? # @ and % are written as %2F %3F %23 %40 and %25")
	}
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		if err := t.readUser(authority[:at]); err != nil {
			return target{}, err
		}
		authority = authority[at+1:]
	}
	if err := t.readAddresses(authority); err != nil {
		return target{}, err
	}
	if err := t.readPath(path); err != nil {
		return target{}, err
	}
	return t, t.readParameters(parameters)
}

// split cuts the part behind the scheme into what is before the path, the path, and what is behind it.
func split(rest string) (authority, path, parameters string) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return rest, "", ""
	}
	authority, rest = rest[:end], rest[end:]
	if end = strings.IndexAny(rest, "?#"); end < 0 {
		return authority, rest, ""
	}
	return authority, rest[:end], rest[end:]
}

// readUser reads USER:PASSWORD.
func (t *target) readUser(text string) error {
	user, password, _ := strings.Cut(text, ":")
	var err error
	if t.user, err = url.PathUnescape(user); err == nil {
		t.password, err = url.PathUnescape(password)
	}
	if err != nil {
		return errors.New("has a % in its user or password that does not begin an escape such as %2F; a % itself is written as %25")
	}
	return nil
}

// readAddresses reads HOST:PORT, or several of them between commas.
func (t *target) readAddresses(text string) error {
	if text == "" {
		return errors.New("has no address; must be HOST:PORT behind the scheme")
	}
	t.addrs = strings.Split(text, ",")
	if t.kind == single && len(t.addrs) > 1 {
		return errors.New("has several addresses; a Sentinel's URL begins with redis-sentinel://, and that of a cluster with redis-cluster://")
	}
	for i, addr := range t.addrs {
		if err := checkAddress(addr); err != nil {
			return fmt.Errorf("has a mistake in address %d of %d: it %w", i+1, len(t.addrs), err)
		}
	}
	return nil
}

// checkAddress finds mistakes in HOST:PORT. Its errors do not repeat the address, which is USER:PASSWORD where the host was forgotten.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	switch {
	case !strings.Contains(addr, ":"), err == nil && port == "":
		return errors.New("has no port; must be HOST:PORT, such as redis.example:6379")
	case err != nil:
		return errors.New("cannot be read; must be HOST:PORT, and an IPv6 address is in brackets")
	case host == "":
		return errors.New("has no host; must be HOST:PORT, such as redis.example:6379")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("has a port that is no number from 1 to 65535")
	}
	return nil
}

// readPath reads what is behind the addresses: the number of the database, or the name of the primary.
func (t *target) readPath(path string) error {
	path = strings.TrimPrefix(path, "/")
	switch t.kind {
	case single:
		return t.readDB(path)
	case cluster:
		if path != "" {
			return fmt.Errorf("has the path %q; a cluster has one database, so nothing is behind its addresses", path)
		}
	case sentinels:
		name, err := url.PathUnescape(path)
		if err != nil || name == "" || strings.Contains(name, "/") {
			return errors.New("has no name of a primary; must be redis-sentinel://HOST:PORT,HOST:PORT/NAME")
		}
		t.primary = name
	}
	return nil
}

// readDB reads the number of the database; "": 0.
func (t *target) readDB(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("has the database %q; must be a number, such as 0", text)
	}
	t.db = int(n)
	return nil
}

// readParameters reads what is behind the question mark.
func (t *target) readParameters(text string) error {
	if strings.HasPrefix(text, "#") {
		return errors.New("has a #; in a password it is written as %23")
	}
	parameters, err := url.ParseQuery(strings.TrimPrefix(text, "?"))
	if err != nil {
		return errors.New("has parameters that cannot be read; must be NAME=VALUE, with & between them")
	}
	var known []string
	if t.kind == sentinels {
		known = []string{"db", "sentinel-auth"}
	}
	for name := range parameters {
		switch {
		case len(known) == 0:
			return fmt.Errorf("has the parameter %q; a URL with this scheme has no parameters", name)
		case !slices.Contains(known, name):
			return fmt.Errorf("has the parameter %q; must be %s", name, strings.Join(known, " or "))
		}
	}
	switch auth := parameters.Get("sentinel-auth"); auth {
	case "", "false":
	case "true":
		t.sentinelAuth = true
	default:
		return errors.New("has a sentinel-auth that is neither true nor false")
	}
	return t.readDB(parameters.Get("db"))
}
