package inprocess_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync/atomic"
)

// users is a fake database with one user, whose id is 1. It can be taken down. It lets the
// examples use database/sql as a program would.
type users struct{ down atomic.Bool }

func (u *users) open() *sql.DB { return sql.OpenDB(u) }

func (u *users) Connect(context.Context) (driver.Conn, error) { return connection{u}, nil }
func (u *users) Driver() driver.Driver                        { return nil }

type connection struct{ *users }

func (c connection) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	if c.down.Load() {
		return nil, errors.New("connection refused")
	}
	return &rows{left: args[0].Value == int64(1)}, nil
}

func (c connection) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("there are queries only")
}

func (c connection) Begin() (driver.Tx, error) { return nil, errors.New("there are queries only") }
func (c connection) Close() error              { return nil }

type rows struct{ left bool }

func (r *rows) Columns() []string { return []string{"name"} }
func (r *rows) Close() error      { return nil }

func (r *rows) Next(row []driver.Value) error {
	if !r.left {
		return io.EOF
	}
	r.left, row[0] = false, "Ann"
	return nil
}
