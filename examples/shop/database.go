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
	// databaseConnections is the bulkhead: further queries wait, so that a database that hangs
	// cannot use up the shop's resources.
	databaseConnections = 10
	// minConnections is how many connections the pool keeps open without calls. The mesh's
	// breaker for the database counts connections as its probes, so the pool must open at least
	// as many as the breaker needs successes (success_threshold).
	minConnections  = 5
	uniqueViolation = "23505"
)

var (
	errUnknownUser = errors.New("there is no such user")
	errTaken       = errors.New("another user has that email address")
)

type user struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// database is PostgreSQL, through the proxy. The breaker in the proxy counts connections, and
// the breaker in this process counts the queries inside them.
type database struct {
	pool     *pgxpool.Pool
	breakers *inprocess.Registry
}

func openDatabase(url string, breakers *inprocess.Registry) (*database, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the database's address: %w", err)
	}
	config.MaxConns, config.MinConns = databaseConnections, minConnections
	config.HealthCheckPeriod = time.Second
	config.ConnConfig.ConnectTimeout = connectTimeout
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	return &database{pool: pool, breakers: breakers}, nil
}

func (d *database) close() { d.pool.Close() }

// do makes a query through the breaker, which rejects it while it is open.
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
