package tandem_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// onEach opens a Transport of each backend for a test that ends it.
func onEach(t *testing.T, o tandem.Options, run func(t *testing.T, tr tandem.Transport)) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		o.Backend = b
		tr := openOn(t, &o)
		defer tr.Close()
		run(t, tr)
	})
}

// readEnd is a Read on a goroutine of its own, and how it ended.
func readEnd(c net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	return ended
}

// closeAfterRead is readEnd of a goroutine that then closes the conn.
func closeAfterRead(c net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		_ = c.Close()
		ended <- err
	}()
	return ended
}

func awaitError(t *testing.T, what string, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(connPatience):
		require.Fail(t, "it did not come", what)
		return nil
	}
}

// figures waits until the Transport's figures of conns are right.
func figures(t *testing.T, tr tandem.Transport, right func(s tandem.ConnStats) bool) {
	t.Helper()
	for end := time.Now().Add(connPatience); !right(tr.Stats().Conns); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "figures: %+v", tr.Stats().Conns)
	}
}

// TestN02_ShutdownOfIdle has conns that wait for their peers end at once, one that copies among them, and Accept.
func TestN02_ShutdownOfIdle(t *testing.T) {
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		a, b := connPair(t, tr, "tcp")
		c, d := connPair(t, tr, "tcp")
		accepted := make(chan error, 1)
		go func() { _, err := l.Accept(); accepted <- err }()
		// Whoever learns of the peer's end first, and not of Shutdown, closes its own, as programs do.
		first, second, third, copied := closeAfterRead(a), closeAfterRead(b), closeAfterRead(d), make(chan error, 1)
		go func() { _, err := io.Copy(d, c); copied <- errors.Join(err, c.Close()) }()
		time.Sleep(10 * time.Millisecond) // whether they wait already makes no difference
		require.NoError(t, tr.Shutdown(context.Background()))
		for _, end := range []<-chan error{first, second, third} {
			if err := awaitError(t, "the end of a Read", end); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
				require.ErrorIs(t, err, net.ErrClosed)
			}
		}
		_ = awaitError(t, "the end of the copy", copied)
		require.ErrorIs(t, awaitError(t, "the end of Accept", accepted), net.ErrClosed)
		s := tr.Stats().Conns
		require.Zero(t, s.Open)
		require.Equal(t, s.Opened, s.Closed)
		_, err = tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = tandem.DialConn(t.Context(), tr, "tcp", l.Addr().String(), nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestN02_ShutdownOfActive gives one that has work in hand the time of the context, and then resets it.
func TestN02_ShutdownOfActive(t *testing.T) {
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		peer, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer peer.Close()
		c, err := l.Accept() // nobody reads from it
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan error, 1)
		go func() { over <- tr.Shutdown(ctx) }()
		figures(t, tr, func(tandem.ConnStats) bool { return l.(tandem.Listener).Err() != nil })
		_, err = c.Write([]byte("the answer"))
		require.NoError(t, err)
		_, err = io.ReadFull(peer, make([]byte, 10))
		require.NoError(t, err)
		select {
		case err := <-over:
			require.NoError(t, err)
			require.Fail(t, "Shutdown did not wait")
		default:
		}
		cancel()
		require.ErrorIs(t, awaitError(t, "the end of Shutdown", over), context.Canceled)
		_, err = peer.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestN02_ShutdownWaitsForWrite has a conn whose Read waits, too, finish the Write that the peer is slow to take.
func TestN02_ShutdownWaitsForWrite(t *testing.T) {
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		peer, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer peer.Close()
		c, err := l.Accept()
		require.NoError(t, err)
		const size = 32 << 20
		read, written, over := readEnd(c), make(chan error, 1), make(chan error, 1)
		go func() { _, err := c.Write(make([]byte, size)); written <- err }()
		_, err = io.ReadFull(peer, make([]byte, 1)) // the Write has begun
		require.NoError(t, err)
		go func() { over <- tr.Shutdown(context.Background()) }()
		figures(t, tr, func(tandem.ConnStats) bool { return l.(tandem.Listener).Err() != nil })
		n, err := io.Copy(io.Discard, peer)
		require.NoError(t, err)
		require.EqualValues(t, size-1, n)
		require.NoError(t, awaitError(t, "the end of Write", written))
		require.ErrorIs(t, awaitError(t, "the end of Read", read), net.ErrClosed)
		require.NoError(t, awaitError(t, "the end of Shutdown", over))
	})
}

// TestN02_ShutdownDoesNotWaitForControl has a function that has the descriptor block: Shutdown says so in time.
func TestN02_ShutdownDoesNotWaitForControl(t *testing.T) {
	for _, driven := range []bool{false, true} {
		onEach(t, tandem.Options{CallerDriven: driven}, func(t *testing.T, tr tandem.Transport) {
			l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
			require.NoError(t, err)
			peer, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer peer.Close()
			for driven && tr.Stats().Accepts == 0 {
				_, err := tr.Poll(10 * time.Millisecond)
				require.NoError(t, err)
			}
			c, err := l.Accept()
			require.NoError(t, err)
			raw, err := c.(syscall.Conn).SyscallConn()
			require.NoError(t, err)
			holds, release := make(chan struct{}), make(chan struct{})
			go func() { _ = raw.Control(func(uintptr) { close(holds); <-release }) }()
			soon(t, "Control", holds)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			over := make(chan error, 1)
			go func() { over <- tr.Shutdown(ctx) }()
			err = awaitError(t, "the end of Shutdown", over)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "1 connections are still ending")
			close(release)
			require.NoError(t, tr.Close())
			require.Zero(t, tr.Stats().Conns.Open)
		})
	}
}

// TestN02_MaxConns has many peers come and go: there are never more than MaxConns, and room comes back.
func TestN02_MaxConns(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", &tandem.ListenOptions{MaxConns: 3})
		require.NoError(t, err)
		defer l.Close()
		const peers = 100
		go func() {
			for range peers {
				go func() {
					c, err := net.Dial("tcp", l.Addr().String())
					if assert.NoError(t, err) {
						_, _ = io.Copy(io.Discard, c)
						_ = c.Close()
					}
				}()
			}
		}()
		var open atomic.Int32
		var served sync.WaitGroup
		for range peers {
			require.NoError(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(connPatience)))
			c, err := l.Accept()
			require.NoError(t, err)
			assert.LessOrEqual(t, open.Add(1), int32(3))
			served.Go(func() {
				runtime.Gosched()
				open.Add(-1)
				assert.NoError(t, c.Close())
			})
		}
		served.Wait()
		require.Zero(t, l.(tandem.Listener).Stats().Streams)
	})
}

// TestN02_SlowAcceptRejectsNobody has more connections come than wait for Accept, below a MaxConns that resets others.
func TestN02_SlowAcceptRejectsNobody(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", &tandem.ListenOptions{MaxConns: 1000, RejectOverLimit: true})
		require.NoError(t, err)
		defer l.Close()
		const peers = 100
		for range peers {
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer c.Close()
		}
		for range peers {
			require.NoError(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(connPatience)))
			c, err := l.Accept()
			require.NoError(t, err)
			defer c.Close()
		}
		require.Zero(t, l.(tandem.Listener).Stats().Rejected)
	})
}

// TestN02_AcceptDeadline has Accept give up in time, and go on.
func TestN02_AcceptDeadline(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		deadline := l.(interface{ SetDeadline(time.Time) error }).SetDeadline
		require.NoError(t, deadline(time.Now().Add(5*time.Millisecond)))
		_, err = l.Accept()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, l.Close())
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, deadline(time.Time{}), net.ErrClosed)
	})
}

// TestN02_ListenerOfDeadLoops has the last loop end: Accept says why, and conns go on.
func TestN02_ListenerOfDeadLoops(t *testing.T) {
	onEach(t, tandem.Options{Loops: 1}, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		a, b := connPair(t, tr, "tcp")
		accepted := make(chan error, 1)
		go func() { _, err := l.Accept(); accepted <- err }()
		bait, err := tr.Listen("tcp", "127.0.0.1:0", tandem.BaseHandler{}, nil)
		require.NoError(t, err)
		s, err := tr.Dial(t.Context(), "tcp", bait.Addr().String(), tandem.BaseHandler{}, nil)
		require.NoError(t, err)
		require.NoError(t, s.Post(runtime.Goexit))
		err = awaitError(t, "the end of Accept", accepted)
		require.NotErrorIs(t, err, net.ErrClosed)
		require.Equal(t, l.(tandem.Listener).Err(), err)
		_, err = a.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(b, make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, tr.Close())
		require.Zero(t, tr.Stats().Conns.Open)
	})
}

// TestN02_NothingLeft opens and closes a thousand conns, some of them behind Accept's back.
func TestN02_NothingLeft(t *testing.T) {
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		before, goroutines := len(descriptors(t)), runtime.NumGoroutine()
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		for i := range 1000 {
			a, err := tandem.DialConn(t.Context(), tr, "tcp", l.Addr().String(), nil)
			require.NoError(t, err)
			if i%2 == 0 || i >= 900 {
				defer a.Close()
				continue
			}
			b, err := l.Accept()
			require.NoError(t, err)
			_, err = b.Write([]byte("x"))
			require.NoError(t, err)
			_, _ = b.Close(), a.Close()
		}
		s := tr.Stats().Conns
		require.Equal(t, s.Opened-s.Closed, uint64(s.Open))
		require.NoError(t, l.Close())
		require.NoError(t, tr.Close())
		s = tr.Stats().Conns
		require.Zero(t, s.Open)
		require.Equal(t, s.Opened, s.Closed)
		for end := time.Now().Add(connPatience); len(descriptors(t)) > before || runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
			require.True(t, time.Now().Before(end), "descriptors %d -> %d, goroutines %d -> %d", before, len(descriptors(t)), goroutines, runtime.NumGoroutine())
		}
	})
}

// TestN02_DialGivenUp ends dials at any moment: whoever gives up leaves nothing.
func TestN02_DialGivenUp(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l, err := tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
		for i := range 200 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(i)*2*time.Microsecond, cancel)
			c, err := tandem.DialConn(ctx, tr, "tcp", l.Addr().String(), nil)
			if err == nil {
				require.NoError(t, c.Close())
			} else {
				require.ErrorIs(t, err, context.Canceled)
				require.Nil(t, c)
			}
			cancel()
		}
		figures(t, tr, func(s tandem.ConnStats) bool { return s.Open == 0 && s.Opened == s.Closed })
	})
}
