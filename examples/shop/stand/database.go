package stand

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"breakwater.dev/internal/processes"
)

// Users is how many users there are, with the ids 1 to Users.
const Users = 1000

// Database is a PostgreSQL server that belongs to one stand.
type Database struct {
	dir, ip string
	bin     string
	as      *syscall.Credential
	process *processes.Process
	lock    *pgx.Conn // holds a lock on the table of users; nil: there is no lock
}

func newDatabase(ctx context.Context, dir, ip string) (*Database, error) {
	d := &Database{dir: filepath.Join(dir, "postgresql"), ip: ip}
	var err error
	if d.bin, err = findPostgreSQL(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // the server refuses to run as root
		if d.as, err = unprivileged(); err != nil {
			return nil, err
		}
		if err := os.Chown(d.dir, int(d.as.Uid), int(d.as.Gid)); err != nil {
			return nil, err
		}
	}
	initialize := exec.CommandContext(ctx, filepath.Join(d.bin, "initdb"), "-D", d.data(), "-U", "shop",
		"--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	initialize.Dir = d.dir
	initialize.SysProcAttr = &syscall.SysProcAttr{Credential: d.as}
	if out, err := initialize.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return d, nil
}

func (d *Database) data() string { return filepath.Join(d.dir, "data") }

// findPostgreSQL returns the directory of the server's programs.
func findPostgreSQL() (string, error) {
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(versions) > 0 {
		return filepath.Dir(versions[len(versions)-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("PostgreSQL's initdb is not there; on Debian: apt-get install postgresql")
}

// unprivileged returns a user without privileges.
func unprivileged() (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (d *Database) address() string { return d.ip + ":" + databasePort }

// Start starts the server, and returns when it accepts queries.
func (d *Database) Start(ctx context.Context) (err error) {
	d.process, err = processes.Launch(filepath.Dir(d.dir), processes.Command{
		Name: "postgresql", Path: filepath.Join(d.bin, "postgres"), As: d.as,
		Args: []string{"-D", d.data(), "-c", "listen_addresses=" + d.ip, "-c", "port=" + databasePort,
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=50"},
		Stop: syscall.SIGINT, // stops at once, even with open connections
	})
	if err != nil {
		return err
	}
	return d.process.Ready(ctx, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, "postgres://shop@"+d.address()+"/postgres?sslmode=disable")
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// Stop stops the server, which breaks its connections.
func (d *Database) Stop() error {
	err := d.Release(context.Background())
	if d.process == nil {
		return err
	}
	return errors.Join(err, d.process.Stop())
}

func (d *Database) close() error { return d.Stop() }

func (d *Database) fill(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, "postgres://shop@"+d.address()+"/postgres?sslmode=disable")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "create database shop")
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	if conn, err = direct(ctx, d.address()); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, fmt.Sprintf(`create table users (id bigserial primary key, name text not null, email text not null unique);
		insert into users (name, email) select 'user ' || i, 'user' || i || '@example.com' from generate_series(1, %d) i`, Users))
	return errors.Join(err, conn.Close(ctx))
}

// Hold makes every query of the users wait until [Database.Release].
func (d *Database) Hold(ctx context.Context) error {
	conn, err := direct(ctx, d.address())
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "begin; lock table users in access exclusive mode"); err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	d.lock = conn
	return nil
}

// Release lets waiting queries continue.
func (d *Database) Release(ctx context.Context) error {
	if d.lock == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn := d.lock
	d.lock = nil
	return conn.Close(ctx)
}
