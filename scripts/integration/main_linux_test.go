package integration

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// patience is how long what must come may take.
const patience = 30 * time.Second

// large is what bodies and messages are made of: 10 MB without a pattern.
var large = func() []byte {
	p := make([]byte, 10_000_000)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}()

// onBackends runs a test on a Transport of each backend. When it is over, and all that it started, no Conn is left.
func onBackends(t *testing.T, run func(t *testing.T, tr tandem.Transport)) {
	onTransports(t, tandem.Options{}, noneLeft, run)
}

// onTransports runs a test on a Transport of each backend, with options, and when it is over, and all that it started, end.
func onTransports(t *testing.T, o tandem.Options, end, run func(t *testing.T, tr tandem.Transport)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			o.Backend, o.Logger = b, slog.New(slog.DiscardHandler)
			tr, err := tandem.Open(&o)
			if err != nil && b == tandem.Uring && os.Getenv("TANDEM_REQUIRE_URING") != "1" && !inCI() {
				t.Skipf("NOT TESTED: %v", err)
			}
			require.NoError(t, err)
			t.Cleanup(func() { end(t, tr) }) // behind those of the test
			run(t, tr)
		})
	}
}

// noneLeft ends a Transport whose Conns have all been closed.
func noneLeft(t *testing.T, tr tandem.Transport) {
	until(t, "the end of all Conns", func() bool { return tr.Stats().Conns.Open == 0 })
	s := tr.Stats().Conns
	assert.Equal(t, s.Opened, s.Closed, "Conns opened and closed")
	assert.Positive(t, s.Opened, "no Conn was used")
	assert.Positive(t, s.BytesIn, "no byte came over a Conn")
	assert.Positive(t, s.BytesOut, "no byte went over a Conn")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	assert.NoError(t, tr.Shutdown(ctx))
}

// until waits for what must become true.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "not within %v: %s", patience, what)
	}
}

// receive waits for a value.
func receive[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.Fail(t, "it did not come", what)
	}
	return v
}

// listen is ListenConn on a port of 127.0.0.1.
func listen(t *testing.T, tr tandem.Transport) net.Listener {
	t.Helper()
	l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// dialer is DialConn as others want it.
func dialer(tr tandem.Transport) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return tandem.DialConn(ctx, tr, network, address, nil)
	}
}

// sameBytes compares without printing megabytes.
func sameBytes(t *testing.T, want, got []byte, what string) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	assert.Failf(t, "other bytes", "%s: %d bytes instead of %d, the same up to %d: %.60q instead of %.60q",
		what, len(got), len(want), at, got[at:], want[at:])
}

// writeFile makes a file in a folder of the test.
func writeFile(t *testing.T, name string, p []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, p, 0o644))
	return path
}

var errBroken = errors.New("broken on purpose")

// broken is a Reader that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
