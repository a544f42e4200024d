package tandem_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/tandem-io/tandem"
)

// connPatience is how long what must come may take.
const connPatience = 10 * time.Second

// onBackends runs a test on a Transport of each backend.
func onBackends(t *testing.T, run func(t *testing.T, tr tandem.Transport)) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		tr := openOn(t, &tandem.Options{Backend: b})
		t.Cleanup(func() { assert.NoError(t, tr.Close()) }) // behind those of the test
		run(t, tr)
	})
}

// onNetworks does so for TCP and Unix sockets.
func onNetworks(t *testing.T, run func(t *testing.T, tr tandem.Transport, network string)) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network, func(t *testing.T) { run(t, tr, network) })
		}
	})
}

// openOn opens a Transport, and skips the test where io_uring cannot run.
func openOn(t *testing.T, o *tandem.Options) tandem.Transport {
	t.Helper()
	tr, err := tandem.Open(o)
	if o.Backend == tandem.Uring && os.Getenv("TANDEM_REQUIRE_URING") == "" && os.Getenv("CI") != "true" && err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	return tr
}

// listenAddress is an address of a network to listen on.
func listenAddress(t *testing.T, network string) string {
	if network == "unix" {
		return filepath.Join(t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// connPair is a dialled connection and the accepted one, both of a Transport.
func connPair(t *testing.T, tr tandem.Transport, network string) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := tandem.ListenConn(tr, network, listenAddress(t, network), nil)
	require.NoError(t, err)
	defer l.Close()
	dialled, err = tandem.DialConn(t.Context(), tr, network, l.Addr().String(), nil)
	require.NoError(t, err)
	accepted, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = dialled.Close(), accepted.Close() })
	return dialled, accepted
}

// soon waits for what must come.
func soon(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(connPatience):
		require.Fail(t, "it did not come", what)
	}
}

// The rules of Conns are N01, N02 and N03 of session/CONTRACT.md; N02 is in conn_shutdown_linux_test.go.

// TestN01_Conn is package nettest's contract of a net.Conn.
func TestN01_Conn(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			l, err := tandem.ListenConn(tr, network, listenAddress(t, network), nil)
			if err != nil {
				return nil, nil, nil, err
			}
			defer l.Close()
			if c1, err = tandem.DialConn(t.Context(), tr, network, l.Addr().String(), nil); err != nil {
				return nil, nil, nil, err
			}
			if c2, err = l.Accept(); err != nil {
				return nil, nil, nil, err
			}
			return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
		})
	})
}

// TestN01_WritesDoNotMix has goroutines write lines that are larger than the socket's buffer to one connection.
func TestN01_WritesDoNotMix(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		const writers, size = 4, 1 << 20
		for i := range writers {
			p := bytes.Repeat([]byte{byte(i)}, size)
			go func() {
				n, err := a.Write(p)
				assert.NoError(t, err)
				assert.Equal(t, size, n)
			}()
		}
		got := make([]byte, size)
		for range writers {
			_, err := io.ReadFull(b, got)
			require.NoError(t, err)
			require.Equal(t, size, bytes.Count(got, got[:1]), "bytes of one Write")
		}
	})
}

// TestN01_ReadsShare has goroutines read from one connection: each byte goes to one of them, and Close wakes all.
func TestN01_ReadsShare(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		var mu sync.Mutex
		var readers sync.WaitGroup
		all := make(chan struct{})
		total := 0
		for range 4 {
			readers.Go(func() {
				p := make([]byte, 10)
				for {
					n, err := b.Read(p)
					mu.Lock()
					if total += n; n > 0 && total == 1000 {
						close(all)
					}
					mu.Unlock()
					if err != nil {
						assert.ErrorIs(t, err, net.ErrClosed)
						return
					}
				}
			})
		}
		for range 100 {
			_, err := a.Write(make([]byte, 10))
			require.NoError(t, err)
		}
		soon(t, "all bytes", all)
		require.NoError(t, b.Close())
		gone := make(chan struct{})
		go func() { readers.Wait(); close(gone) }()
		soon(t, "the end of all Reads", gone)
	})
}

// TestS24_PartialWrite has a deadline end a Write of which the peer takes a part.
func TestS24_PartialWrite(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		p := bytes.Repeat([]byte("0123456789abcdefg"), 1<<20)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(20*time.Millisecond)))
		n, err := a.Write(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Positive(t, n)
		require.Less(t, n, len(p))
		require.NoError(t, a.SetWriteDeadline(time.Time{}))
		go func() {
			m, err := a.Write(p[n:])
			assert.NoError(t, err)
			assert.Equal(t, len(p)-n, m)
			assert.NoError(t, a.Close())
		}()
		got, err := io.ReadAll(b)
		require.NoError(t, err)
		require.True(t, bytes.Equal(p, got), "the bytes are not those that were written")
	})
}

// TestS24_DeadlinesOfMany moves a deadline from several goroutines while others read and write.
func TestS24_DeadlinesOfMany(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var movers sync.WaitGroup
		for range 4 {
			movers.Go(func() {
				for ctx.Err() == nil {
					assert.NoError(t, a.SetReadDeadline(time.Now().Add(time.Millisecond)))
					assert.NoError(t, a.SetDeadline(time.Now().Add(-time.Millisecond)))
					assert.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Hour)))
				}
			})
			movers.Go(func() {
				for ctx.Err() == nil {
					if _, err := a.Read(make([]byte, 1)); err != nil {
						assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
					}
					_, _ = a.Write([]byte{1})
				}
			})
		}
		go func() { _, _ = io.Copy(io.Discard, b) }()
		movers.Wait()
		require.NoError(t, a.SetDeadline(time.Time{}))
		_, err := b.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(a, make([]byte, 1))
		require.NoError(t, err, "without a deadline it goes on")
	})
}

// TestN01_Allocations has Read and Write allocate nothing.
func TestN01_Allocations(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		p, q := make([]byte, 64), make([]byte, 64)
		require.Zero(t, testing.AllocsPerRun(200, func() {
			_, _ = a.Write(p)
			_, _ = io.ReadFull(b, q)
		}))
	})
}

// TestN03_BlockedLoops has callbacks block all loops: connections go on.
func TestN03_BlockedLoops(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		l, err := tr.Listen("tcp", "127.0.0.1:0", tandem.BaseHandler{}, nil)
		require.NoError(t, err)
		defer l.Close()
		one := map[int]*tandem.Stream{} // a stream of each loop
		for len(one) < tr.Info().Loops {
			s, err := tr.Dial(t.Context(), "tcp", l.Addr().String(), tandem.BaseHandler{}, nil)
			require.NoError(t, err)
			one[s.Loop()] = s
		}
		release := make(chan struct{})
		defer close(release)
		for _, s := range one {
			blocked := make(chan struct{})
			require.NoError(t, s.Post(func() { close(blocked); <-release }))
			soon(t, "the loop's callback", blocked)
		}
		require.NoError(t, a.SetDeadline(time.Now().Add(connPatience)))
		require.NoError(t, b.SetDeadline(time.Now().Add(connPatience)))
		go func() { _, _ = io.Copy(b, b) }()
		for range 100 {
			_, err := a.Write([]byte("over and back"))
			require.NoError(t, err)
			_, err = io.ReadFull(a, make([]byte, 13))
			require.NoError(t, err)
		}
		require.NoError(t, a.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, a.Close())
	})
}

// TestS24_Deadlines has deadlines pass, before a call and during it, move, and go; the connection stays usable.
func TestS24_Deadlines(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		a, b := connPair(t, tr, network)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(-time.Second)))
		_, err := b.Write([]byte("xy"))
		require.NoError(t, err)
		p := make([]byte, 1)
		_, err = a.Read(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it has passed, and there are bytes")
		require.NoError(t, a.SetReadDeadline(time.Now().Add(connPatience)))
		_, err = io.ReadFull(a, p)
		require.NoError(t, err, "it has moved")
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		_, err = io.ReadFull(a, p)
		require.NoError(t, err, "it is gone")
		ended := readEnd(a)
		time.Sleep(time.Millisecond)
		require.NoError(t, a.SetReadDeadline(time.Now()))
		require.ErrorIs(t, awaitError(t, "the end of Read", ended), os.ErrDeadlineExceeded)
		_, err = a.Write([]byte("z"))
		require.NoError(t, err, "it was one of reading")
		_, err = io.ReadFull(b, p)
		require.NoError(t, err)
	})
}
