package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"breakwater.dev/breaker"
	"breakwater.dev/inprocess"
)

const (
	// databaseConnections is the bulkhead: more queries than that wait, and a database that
	// hangs takes no more with it.
	databaseConnections = 10
	// spareConnections are there whether there are calls or not. A breaker that probes sees
	// connections, so a pool has to open as many as it wants successes (success_threshold).
	spareConnections = 5
	uniqueViolation  = "23505"
)

var (
	errUnknownUser = errors.New("there is no such user")
	errTaken       = errors.New("somebody has that email address")
)

type user struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// database is PostgreSQL through the proxy. The proxy sees connections, and the breaker in
// this process what becomes of queries inside them.
type database struct {
	pool     *pgxpool.Pool
	breakers *inprocess.Registry
}

func openDatabase(url string, breakers *inprocess.Registry) (*database, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the database's address: %w", err)
	}
	config.MaxConns, config.MinConns = databaseConnections, spareConnections
	config.HealthCheckPeriod = time.Second
	config.ConnConfig.ConnectTimeout = connectTimeout
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	return &database{pool: pool, breakers: breakers}, nil
}

func (d *database) close() { d.pool.Close() }

// do makes a query, unless the breaker is open.
func (d *database) do(ctx context.Context, query func(context.Context) error) error {
	return breaker.Do(ctx, d.breakers.Breaker(databaseName), func(ctx context.Context) error {
		err := query(ctx)
		if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == uniqueViolation {
			return breaker.Expected(errTaken)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return breaker.Expected(errUnknownUser)
		}
		return err
	})
}

func (d *database) find(ctx context.Context, id int64) (u user, err error) {
	err = d.do(ctx, func(ctx context.Context) error {
		return d.pool.QueryRow(ctx, "select id, name, email from users where id = $1", id).Scan(&u.ID, &u.Name, &u.Email)
	})
	return u, err
}

func (d *database) create(ctx context.Context, u user) (user, error) {
	err := d.do(ctx, func(ctx context.Context) error {
		return d.pool.QueryRow(ctx, "insert into users (name, email) values ($1, $2) returning id", u.Name, u.Email).Scan(&u.ID)
	})
	return u, err
}
