package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// nobody are the attributes of a process that is not root's: PostgreSQL refuses to run as root.
func nobody(t *testing.T, paths ...string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	const id = 65534
	for _, p := range paths {
		require.NoError(t, os.Chown(p, id, id))
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
}

// postgres starts a server with TLS on a port and a Unix socket of its own.
func postgres(t *testing.T, id identity) (host, port, dir string) {
	t.Helper()
	const places = "/usr/lib/postgresql/*/bin/"
	initdb, server := tool(t, "initdb", places+"initdb"), tool(t, "postgres", places+"postgres")
	dir = folder(t)
	data := filepath.Join(dir, "data")
	nobodys := nobody(t, dir)
	c := exec.Command(initdb, "-D", data, "-U", "tester", "-A", "trust", "-N", "--no-instructions", "-E", "UTF8", "--locale=C")
	c.SysProcAttr, c.Dir = nobodys, dir
	out, err := c.CombinedOutput()
	require.NoError(t, err, "initdb: %s", out)
	for from, to := range map[string]string{id.certFile: "server.crt", id.keyFile: "server.key"} {
		p, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(data, to), p, 0o600))
		nobody(t, filepath.Join(data, to))
	}
	hba := filepath.Join(data, "pg_hba.conf")
	require.NoError(t, os.WriteFile(hba, []byte("local all all trust\nhostssl all all all trust\n"), 0o600)) // no TCP without TLS
	host, port = freeAddress(t)
	c = exec.Command(server, "-D", data, "-h", host, "-p", port, "-k", dir, "-c", "ssl=on", "-c", "fsync=off", "-c", "max_connections=50")
	c.SysProcAttr, c.Dir = nobodys, dir
	said := start(t, c, syscall.SIGINT, "tcp", net.JoinHostPort(host, port))
	until(t, "a server that is ready", func() bool { return strings.Contains(said.String(), "ready to accept connections") })
	return host, port, dir
}

// TestPostgres has pgx over DialConn use a server, over TCP with TLS that begins in mid-stream, and over a Unix socket.
func TestPostgres(t *testing.T) {
	id := newIdentity(t)
	host, port, dir := postgres(t, id)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		for name, c := range map[string]string{
			"tls":  fmt.Sprintf("host=%s port=%s user=tester dbname=postgres sslmode=require", host, port),
			"unix": fmt.Sprintf("host=%s port=%s user=tester dbname=postgres", dir, port),
		} {
			t.Run(name, func(t *testing.T) {
				config, err := pgxpool.ParseConfig(c)
				require.NoError(t, err)
				config.MaxConns = 8
				config.ConnConfig.DialFunc = dialer(tr)
				pool, err := pgxpool.NewWithConfig(t.Context(), config)
				require.NoError(t, err)
				t.Cleanup(pool.Close)
				conn, err := pool.Acquire(t.Context())
				require.NoError(t, err)
				defer conn.Release()
				var secure bool
				require.NoError(t, conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&secure))
				require.Equal(t, name == "tls", secure)
				pgRows(t, conn.Conn())
				pgCopy(t, conn.Conn())
				pgNotify(t, conn.Conn(), pool)
				pgCancel(t, pool)
				pgMany(t, pool)
			})
		}
		refused, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s user=tester dbname=postgres sslmode=disable", host, port))
		require.NoError(t, err)
		refused.DialFunc = dialer(tr)
		_, err = pgx.ConnectConfig(t.Context(), refused)
		require.ErrorContains(t, err, "no encryption", "the server has no TCP without TLS")
	})
}

// pgRows has values of all sizes go over and back, and a batch of statements.
func pgRows(t *testing.T, c *pgx.Conn) {
	ctx := t.Context()
	for _, size := range []int{0, 1, 4095, 100_000, len(large)} {
		var got []byte
		require.NoError(t, c.QueryRow(ctx, "SELECT $1::bytea", large[:size]).Scan(&got))
		sameBytes(t, large[:size], got, "a value")
	}
	rows, err := c.Query(ctx, "SELECT i, repeat(i::text, 100) FROM generate_series(1, 20000) AS i")
	require.NoError(t, err)
	n, i, s := 0, 0, ""
	_, err = pgx.ForEachRow(rows, []any{&i, &s}, func() error {
		if n++; i != n || s != strings.Repeat(fmt.Sprint(n), 100) {
			return fmt.Errorf("row %d has %d and %.100s", n, i, s)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 20_000, n)
	b := &pgx.Batch{}
	for i := range 1000 {
		b.Queue("SELECT $1::int * 2", i).QueryRow(func(row pgx.Row) error {
			var got int
			if err := row.Scan(&got); err != nil || got != 2*i {
				return fmt.Errorf("%d instead of %d: %w", got, 2*i, err)
			}
			return nil
		})
	}
	require.NoError(t, c.SendBatch(ctx, b).Close())
	_, err = c.Exec(ctx, "SELECT 1/0")
	failed, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "22012", failed.Code)
}

// pgCopy has COPY carry rows in and out: while it sends, pgx reads, to learn of errors.
func pgCopy(t *testing.T, c *pgx.Conn) {
	ctx := t.Context()
	_, err := c.Exec(ctx, "CREATE TEMPORARY TABLE copied (i int, p bytea)")
	require.NoError(t, err)
	const n = 20_000
	copied, err := c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"i", "p"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{i, part(i, i%1000)}, nil
	}))
	require.NoError(t, err)
	require.EqualValues(t, n, copied)
	rows, err := c.Query(ctx, "SELECT i, p FROM copied ORDER BY i")
	require.NoError(t, err)
	var want, i int
	var p []byte
	_, err = pgx.ForEachRow(rows, []any{&i, &p}, func() error {
		assert.Equal(t, want, i)
		sameBytes(t, part(i, i%1000), p, "a row that was copied")
		want++
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, n, want)
	var out strings.Builder
	_, err = c.PgConn().CopyTo(ctx, &out, "COPY (SELECT i FROM copied ORDER BY i) TO STDOUT")
	require.NoError(t, err)
	var all strings.Builder
	for i := range n {
		fmt.Fprintln(&all, i)
	}
	sameBytes(t, []byte(all.String()), []byte(out.String()), "COPY TO")
	_, err = c.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"i"}, pgx.CopyFromFunc(func() ([]any, error) { return nil, errBroken }))
	require.ErrorContains(t, err, errBroken.Error())
	_, err = c.PgConn().CopyFrom(ctx, strings.NewReader(strings.Repeat("this is no number\n", 100_000)), "COPY copied (i) FROM STDIN")
	require.ErrorContains(t, err, "invalid input syntax", "an error in mid-stream")
	require.NoError(t, c.Ping(ctx))
}

// pgNotify has a connection wait for what another one says, and for nothing.
func pgNotify(t *testing.T, c *pgx.Conn, pool *pgxpool.Pool) {
	ctx := t.Context()
	_, err := c.Exec(ctx, "LISTEN channel")
	require.NoError(t, err)
	for range 3 { // a deadline that passes while the connection waits leaves it usable
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err = c.WaitForNotification(short)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	go func() {
		for i := range 500 {
			_, err := pool.Exec(ctx, "SELECT pg_notify('channel', $1)", fmt.Sprint(i))
			assert.NoError(t, err)
		}
	}()
	for i := range 500 {
		long, cancel := context.WithTimeout(ctx, patience)
		n, err := c.WaitForNotification(long)
		cancel()
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), n.Payload)
	}
	_, err = c.Exec(ctx, "UNLISTEN *")
	require.NoError(t, err)
}

// pgCancel has contexts end in the middle of statements, by time and by hand: the pool replaces the connections. The
// statements are at work then, because PostgreSQL forgets a request to cancel one that has yet to begin.
func pgCancel(t *testing.T, pool *pgxpool.Pool) {
	for i := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := pool.Exec(ctx, "SELECT pg_sleep(60)", pgx.QueryExecModeSimpleProtocol)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()

		ctx, cancel = context.WithCancel(t.Context())
		ended := make(chan error, 1)
		sleep := fmt.Sprintf("SELECT pg_sleep(%d)", 61+i)
		go func() { _, err := pool.Exec(ctx, sleep); ended <- err }()
		until(t, "a statement that sleeps", func() (sleeps bool) {
			const q = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = $1 AND wait_event = 'PgSleep'"
			require.NoError(t, pool.QueryRow(t.Context(), q, sleep).Scan(&sleeps))
			return sleeps
		})
		cancel()
		require.ErrorIs(t, receive(t, "the end of a statement that was cancelled", ended), context.Canceled)

		ctx, cancel = context.WithCancel(t.Context())
		rows, err := pool.Query(ctx, "SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
		require.NoError(t, err)
		require.True(t, rows.Next())
		cancel()
		for rows.Next() {
		}
		require.ErrorIs(t, rows.Err(), context.Canceled)
		rows.Close()
	}
	var two int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT 1 + 1").Scan(&two))
	require.Equal(t, 2, two)
	var asleep int
	until(t, "the end of all statements at the server", func() bool {
		const q = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
		require.NoError(t, pool.QueryRow(t.Context(), q).Scan(&asleep))
		return asleep == 0
	})
}

// pgMany has more goroutines than connections.
func pgMany(t *testing.T, pool *pgxpool.Pool) {
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			for j := range 20 {
				var got []byte
				p := part(i*j, i*j*20)
				err := pool.QueryRow(t.Context(), "SELECT $1::bytea || $1", p).Scan(&got)
				assert.NoError(t, err)
				sameBytes(t, append(append([]byte(nil), p...), p...), got, "twice a value")
			}
		})
	}
	all.Wait()
}
