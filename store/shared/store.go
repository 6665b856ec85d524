package shared

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/store"
	"breakwater.dev/store/shared/internal/connect"
)

// timeLimit is how long one command may take, with everything that it needs, such as a new connection. A replica says that it
// is alive about once a second, and a store that needs longer than this is of no use.
const timeLimit = time.Second

// Options say where the store is. A password and certificates are read from their files for each new connection, so that they can be
// replaced while the program runs.
type Options struct {
	// URL has one of these forms. With rediss in the place of redis, connections use TLS.
	//
	//	redis://[USER[:PASSWORD]@]HOST:PORT[/DB]
	//	redis-sentinel://[USER[:PASSWORD]@]HOST:PORT,HOST:PORT/PRIMARY[?db=DB&sentinel-auth=true]
	//	redis-cluster://[USER[:PASSWORD]@]HOST:PORT,HOST:PORT
	//
	// The second form has the addresses of Sentinels, and PRIMARY is the name that they have for the primary. With
	// sentinel-auth=true the Sentinels want the same user and password, which is read for them at the start only. The third form has the
	// addresses of some servers of a cluster. DB is 0 by default. Special characters of a password are escaped, such as / by %2F.
	URL string
	// PasswordFile has the password; "": it is in the URL, or there is none. White space at the end of the file does not count.
	PasswordFile string
	// CAFile has, in PEM, the certificates of the authorities that the server's certificate may come from; "": the system's authorities.
	CAFile string
	// CertFile and KeyFile have, in PEM, the certificate that we show the server, and its key; "": none.
	CertFile, KeyFile string
	// Name separates control planes that share a server: all keys begin with "breakwater:{NAME}:". The braces make a cluster keep them
	// on one server. It has letters, digits, dots, underscores and hyphens, at most 63; "": "breakwater".
	Name string
}

// validName matches the names that are allowed.
var validName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

// Store is the shared store. It implements [membership.Registry].
//
// Every method but Load takes at most a second. None tries anything again, except that a cluster is asked twice: the caller knows whether it
// still wants the same. A method that has failed may have had its effect, and calling it again is harmless.
//
// The server must not evict keys: its maxmemory-policy is noeviction. The keys of one control plane are deleted together or not at all, because
// epochs of views begin again without a view, and states with the higher epochs from before would refuse all owners.
type Store struct {
	client redis.UniversalClient
	prefix string
	clock  store.Clock
	log    *slog.Logger
	health health
}

// Open returns the store. It checks the options, and reads the files. It does not wait for the server, so that a control plane starts
// without it. States are in the instants of clock. The library for Redis has one log for the whole process, which becomes log, at debug level.
func Open(o Options, clock store.Clock, log *slog.Logger) (*Store, error) {
	prefix := "breakwater:{breakwater}:"
	if o.Name != "" {
		prefix = "breakwater:{" + o.Name + "}:"
	}
	if o.Name != "" && !validName.MatchString(o.Name) {
		return nil, fmt.Errorf("the name of the control plane in the store is %q; must have letters, digits, dots, underscores and hyphens only, at most 63", o.Name)
	}
	client, err := connect.Options{URL: o.URL, PasswordFile: o.PasswordFile, CAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile}.Client()
	if err != nil {
		return nil, err
	}
	redis.SetLogger(libraryLog{log})
	return &Store{client: client, prefix: prefix, clock: clock, log: log}, nil
}

// Close closes the connections. The content of the store stays there.
func (s *Store) Close() error { return s.client.Close() }

// key returns the key of a part of the store.
func (s *Store) key(part string) string { return s.prefix + part }

// do calls f, which asks the store once, and counts whether it succeeded.
func (s *Store) do(ctx context.Context, op operation, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	err := f(ctx)
	s.health.ended(op, err)
	if err != nil {
		return s.failed(op, err)
	}
	return nil
}

// run runs a script.
func (s *Store) run(ctx context.Context, op operation, script *redis.Script, keys []string, args ...any) (reply any, err error) {
	err = s.do(ctx, op, func(ctx context.Context) (err error) {
		reply, err = script.Run(ctx, s.client, keys, args...).Result()
		return err
	})
	return reply, err
}

// failed returns the error of an operation.
func (s *Store) failed(op operation, err error) error {
	return fmt.Errorf("the store does not %s: %w", op.verb(), err)
}

// libraryLog gives the lines of the library's log to ours.
type libraryLog struct{ log *slog.Logger }

// Printf implements the library's interface.
func (l libraryLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, "the library for the store says", "text", fmt.Sprintf(format, v...))
	}
}
