package connect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// TestMain fails if a test leaves a goroutine behind. The library has one that tries each second whether a server without an answer is back, and
// that ends up to a second after its client is closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// TestParse shows the forms of URLs.
func TestParse(t *testing.T) {
	for text, want := range map[string]target{
		"redis://127.0.0.1:6379":                  {addrs: []string{"127.0.0.1:6379"}},
		"redis://127.0.0.1:6379/":                 {addrs: []string{"127.0.0.1:6379"}},
		"rediss://redis.example:6380/3":           {tls: true, addrs: []string{"redis.example:6380"}, db: 3},
		"redis://:secret@[::1]:6379/1":            {addrs: []string{"[::1]:6379"}, db: 1, password: "secret"},
		"redis://ann:a%2Fb%40c%25:d@h:1":          {addrs: []string{"h:1"}, user: "ann", password: "a/b@c%:d"},
		"redis://ann:p@ss@h:1":                    {addrs: []string{"h:1"}, user: "ann", password: "p@ss"},
		"redis://ann@h:1":                         {addrs: []string{"h:1"}, user: "ann"},
		"redis-sentinel://a:1,b:2/main":           {kind: sentinels, addrs: []string{"a:1", "b:2"}, primary: "main"},
		"rediss-sentinel://:p@a:1/my%20main?db=2": {kind: sentinels, tls: true, addrs: []string{"a:1"}, primary: "my main", db: 2, password: "p"},
		"redis-sentinel://:p@a:1/m?sentinel-auth=true&db=1": {
			kind: sentinels, addrs: []string{"a:1"}, primary: "m", db: 1, password: "p", sentinelAuth: true,
		},
		"redis-sentinel://a:1/m?sentinel-auth=false": {kind: sentinels, addrs: []string{"a:1"}, primary: "m"},
		"redis-cluster://a:1,[::1]:2":                {kind: cluster, addrs: []string{"a:1", "[::1]:2"}},
		"rediss-cluster://u:p@a:1/":                  {kind: cluster, tls: true, addrs: []string{"a:1"}, user: "u", password: "p"},
	} {
		got, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestMistakes shows the error for each typical mistake. No error has the password, nor a part of it.
func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password, empty := file("password", "hunter2\n"), file("empty", "\n")
	for _, tt := range []struct {
		options Options
		want    string
	}{
		{Options{}, "must begin with redis://"},
		{Options{URL: "hunter2"}, "must begin with redis://"},
		{Options{URL: "127.0.0.1:6379"}, "must begin with redis://"},
		{Options{URL: "https://:hunter2@h:1"}, "must begin with redis://"},
		{Options{URL: "redissss://h:1"}, "must begin with redis://"},
		{Options{URL: "redis://"}, "has no address"},
		{Options{URL: "redis://:hunter2@"}, "has no address"},
		{Options{URL: "redis://h"}, "address 1 of 1: it has no port"},
		{Options{URL: "redis://h:"}, "has no port"},
		{Options{URL: "redis://:6379"}, "has no host"},
		{Options{URL: "redis://user:hunter2"}, "has a port that is no number"},
		{Options{URL: "redis://h:0"}, "has a port that is no number"},
		{Options{URL: "redis://h:65536"}, "has a port that is no number"},
		{Options{URL: "redis://::1:6379"}, "an IPv6 address is in brackets"},
		{Options{URL: "redis://h:1,i:2"}, "redis-cluster://"},
		{Options{URL: "redis://h:1/hunter"}, `has the database "hunter"; must be a number`},
		{Options{URL: "redis://h:1/-1"}, "must be a number"},
		{Options{URL: "redis://h:1?db=1"}, `has the parameter "db"; a URL with this scheme has no parameters`},
		{Options{URL: "redis://:hun/ter2@h:1"}, "in a password the characters"},
		{Options{URL: "redis://:hun?ter2@h:1"}, "in a password the characters"},
		{Options{URL: "redis://:hun#ter2@h:1"}, "in a password the characters"},
		{Options{URL: "redis://:hun%ter2@h:1"}, "is written as %25"},
		{Options{URL: "redis://h:1#x"}, "has a #"},
		{Options{URL: "redis://ann@h:1"}, "has a user and no password"},
		{Options{URL: "redis-sentinel://h:1"}, "has no name of a primary"},
		{Options{URL: "redis-sentinel://h:1/a/b"}, "has no name of a primary"},
		{Options{URL: "redis-sentinel://h:1,i/m"}, "address 2 of 2: it has no port"},
		{Options{URL: "redis-sentinel://h:1/m?database=1"}, `has the parameter "database"; must be db or sentinel-auth`},
		{Options{URL: "redis-sentinel://h:1/m?db=one"}, `has the database "one"`},
		{Options{URL: "redis-sentinel://h:1/m?sentinel-auth=hunter2"}, "neither true nor false"},
		{Options{URL: "redis-sentinel://h:1/m?sentinel-auth=true"}, "there is no password"},
		{Options{URL: "redis-sentinel://h:1/m?%zz"}, "parameters that cannot be read"},
		{Options{URL: "redis-cluster://h:1/0"}, "a cluster has one database"},
		{Options{URL: "redis://:hunter2@h:1", PasswordFile: password}, "both in its URL and in a file"},
		{Options{URL: "redis://h:1", PasswordFile: filepath.Join(dir, "none")}, "no such file"},
		{Options{URL: "redis://h:1", PasswordFile: empty}, "is empty"},
		{Options{URL: "redis://h:1", CAFile: empty}, "its scheme must begin with rediss"},
		{Options{URL: "rediss://h:1", CAFile: empty}, "holds no certificate"},
		{Options{URL: "rediss://h:1", CAFile: filepath.Join(dir, "none")}, "no such file"},
		{Options{URL: "rediss://h:1", CertFile: empty}, "belong together"},
		{Options{URL: "rediss://h:1", CertFile: empty, KeyFile: password}, "loading the certificate"},
	} {
		client, err := tt.options.Client()
		if err == nil {
			t.Errorf("%+v: no error", tt.options)
			client.Close()
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %q, want %q in it", tt.options, err, tt.want)
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%+v: the error has the password: %v", tt.options, err)
		}
	}
}

// FuzzParse shows that no URL makes the parser fail, and that a password never gets into an error.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"redis://:%s@h:1", "redis-sentinel://u:%s@a:1,b:2/m?db=1", "rediss-cluster://%s@a:1", "redis://%s", "redis://u:%s"} {
		f.Add(text, "hunter2hunter2")
	}
	f.Fuzz(func(t *testing.T, form, secret string) {
		if len(secret) < 8 || strings.Contains(form, secret) {
			return
		}
		_, err := parse(strings.ReplaceAll(form, "%s", secret))
		if at := strings.Index(form, "%s"); err != nil && at >= 0 && strings.Contains(form[:at], "://") && strings.Contains(form[at:], "@") &&
			strings.Contains(err.Error(), secret) {
			t.Errorf("%q with %q: the error has the secret: %v", form, secret, err)
		}
	})
}
