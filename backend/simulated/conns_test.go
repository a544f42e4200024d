package simulated_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// listenConn makes a listener of Conns.
func (w *world) listenConn(o *session.ListenOptions) net.Listener {
	l, err := w.e.ListenConn("tcp", "localhost:0", o)
	require.NoError(w.t, err)
	return l
}

// accept takes one connection, for which it waits if it has to.
func (w *world) accept(l net.Listener) (c net.Conn, err error) {
	w.beside("Accept", func() { c, err = l.Accept() })
	return c, err
}

// connected is a Conn that was accepted, with its peer.
func connected(t *testing.T, completions bool, c simulated.Config) (*world, net.Listener, net.Conn, *simulated.Peer) {
	w, _ := stepped(t, completions, c, 2)
	l := w.listenConn(nil)
	p := w.dial(l.Addr().String())
	conn, err := w.accept(l)
	require.NoError(t, err)
	return w, l, conn, p
}

// asks calls fn on another goroutine, and returns where its error comes.
func asks(fn func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- fn() }()
	return result
}

// answer steps until a result comes.
func (w *world) answer(what string, result <-chan error) error {
	w.steps(what, func() bool { return len(result) > 0 })
	return <-result
}

// ask is asks and answer.
func (w *world) ask(what string, fn func() error) error { return w.answer(what, asks(fn)) }

func statsOf(l net.Listener) session.ListenerStats {
	return l.(interface{ Stats() session.ListenerStats }).Stats()
}

// serveEcho accepts until the listener ends, and has each Conn echo.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

// TestConnsEcho has Conns of several loops' accepting echo what peers send. The figures add up.
func TestConnsEcho(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		for seed := range uint64(5) {
			w, _ := stepped(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()}, 2)
			l := w.listenConn(nil)
			go serveEcho(l)
			message := bytes.Repeat([]byte("0123456789abcdef"), 1_000)
			for _, p := range w.senders(6, l.Addr().String(), message) {
				w.steps("the end of an echo", p.EOF)
				require.True(t, bytes.Equal(message, p.Received()))
			}
			s := w.e.Stats()
			require.EqualValues(t, 6, s.Accepts)
			require.Zero(t, s.Streams) // no loop knows of them
			require.Equal(t, session.ConnStats{Opened: 6, Closed: 6, BytesIn: 6 * 16_000, BytesOut: 6 * 16_000}, s.Conns)
			w.endStepped()
		}
	})
}

// TestDialConn has both ends be Conns.
func TestDialConn(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		l := w.listenConn(nil)
		go serveEcho(l)
		var c net.Conn
		var err error
		w.beside("DialConn", func() { c, err = w.e.DialConn(t.Context(), "tcp", l.Addr().String(), nil) })
		require.NoError(t, err)
		require.Equal(t, l.Addr().String(), c.RemoteAddr().String())
		require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte("hello")); return err }))
		got := make([]byte, 5)
		require.NoError(t, w.ask("an echo", func() error { _, err := io.ReadFull(c, got); return err }))
		require.Equal(t, "hello", string(got))
		require.Equal(t, 2, w.e.Stats().Conns.Open)
		require.Zero(t, w.e.Stats().Opened) // the dial's stream has handed its connection over, and nobody saw it
		require.NoError(t, c.Close())
		w.steps("the end of both", func() bool { return w.e.Stats().Conns.Open == 0 })
		_, err = c.Read(got)
		require.ErrorIs(t, err, net.ErrClosed)
		w.endStepped()
	})
}

// TestDialConnFails has dials of Conns fail as others do, and leave nothing behind.
func TestDialConnFails(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		w.nobody()
		dial := func(ctx context.Context, address string, o *session.DialOptions) error {
			return w.ask("DialConn", func() error { _, err := w.e.DialConn(ctx, "tcp", address, o); return err })
		}
		require.ErrorIs(t, dial(t.Context(), "192.0.2.1:1", nil), syscall.ECONNREFUSED)
		require.ErrorIs(t, dial(t.Context(), "192.0.2.2:1", &session.DialOptions{Timeout: time.Second}), os.ErrDeadlineExceeded)
		l, err := w.k.Listen("tcp", "localhost:0")
		require.NoError(t, err)
		w.k.SetFaults(simulated.Faults{Instant: 1})
		short := control(func() error { w.k.Shortage(syscall.ENOMEM); return nil }) // from here on
		err = dial(t.Context(), l.Addr().String(), short)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "dial", op.Op)
		require.ErrorIs(t, err, syscall.ENOMEM)
		w.k.Shortage(nil)
		require.Zero(t, w.e.Stats().Conns.Open)
		require.Len(t, l.Peers(), 1)
		w.steps("the peer's end", l.Peers()[0].EOF)
		w.endStepped()
	})
}

// TestDialConnGivenUp ends the context of a dial at each moment: there is a Conn that lives, or nothing is left.
func TestDialConnGivenUp(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		lives, fails := 0, 0
		for after := range 40 {
			w, _ := stepped(t, completions, simulated.Config{Seed: uint64(after)}, 1)
			l, err := w.k.Listen("tcp", "localhost:0")
			require.NoError(t, err)
			ctx, cancel := w.k.Clock().WithTimeout(t.Context(), time.Duration(after)*5*time.Microsecond)
			var c net.Conn
			w.beside("DialConn", func() { c, err = w.e.DialConn(ctx, "tcp", l.Addr().String(), nil) })
			cancel()
			if err == nil {
				lives++
				require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte("x")); return err }))
				w.steps("its byte", func() bool { return l.Peers()[0].Count() == 1 })
			} else {
				fails++
				require.ErrorIs(t, err, context.DeadlineExceeded)
				w.steps("no descriptor", func() bool { return w.k.OpenDescriptors() == 0 })
			}
			w.endStepped()
		}
		require.Positive(t, lives)
		require.Positive(t, fails)
	})
}

// TestConnsWaitForAccept has more connections come than may wait for Accept: the rest waits in the backlog, and all are
// accepted in order.
func TestConnsWaitForAccept(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{Latency: time.Nanosecond}, 1)
		l := w.listenConn(nil)
		var peers []*simulated.Peer
		for range 150 {
			p := w.dial(l.Addr().String())
			peers = append(peers, p)
			w.steps("a connection", p.Connected)
		}
		w.k.Advance(time.Second)
		for range 20 {
			w.k.Step()
		}
		require.EqualValues(t, 64, w.e.Stats().Accepts)
		for i, p := range peers {
			c, err := w.accept(l)
			require.NoError(t, err)
			require.Equal(t, p.Addr().String(), c.RemoteAddr().String(), "connection %d", i)
		}
		require.EqualValues(t, 150, w.e.Stats().Conns.Open)
		require.EqualValues(t, 150, w.e.Stats().Accepts)
		w.endStepped()
	})
}

// TestConnsCountTowardsMaxConns has Conns, and those that wait for Accept, count.
func TestConnsCountTowardsMaxConns(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		l := w.listenConn(&session.ListenOptions{MaxConns: 2})
		for range 5 {
			w.dial(l.Addr().String())
		}
		first, err := w.accept(l)
		require.NoError(t, err)
		_, err = w.accept(l)
		require.NoError(t, err)
		third := asks(func() error { _, err := l.Accept(); return err })
		w.k.Advance(time.Minute)
		for range 100 {
			w.k.Step()
		}
		require.Empty(t, third)
		require.Equal(t, 2, statsOf(l).Streams)
		require.NoError(t, first.Close())
		require.NoError(t, w.answer("the third", third))
		require.Equal(t, 2, statsOf(l).Streams)

		l = w.listenConn(&session.ListenOptions{MaxConns: 2, RejectOverLimit: true})
		refused, peers := 0, []*simulated.Peer{}
		for range 102 { // more than could wait for Accept
			peers = append(peers, w.dial(l.Addr().String()))
		}
		w.steps("a hundred resets", func() bool {
			refused = 0
			for _, p := range peers {
				if p.Err() != nil {
					refused++
				}
			}
			return refused == 100
		})
		require.Equal(t, 2, statsOf(l).Streams)
		require.EqualValues(t, 100, statsOf(l).Rejected)
		for range 2 {
			c, err := w.accept(l)
			require.NoError(t, err)
			require.NoError(t, c.Close())
		}
		w.dial(l.Addr().String())
		_, err = w.accept(l) // there is room again
		require.NoError(t, err)
		w.endStepped()
	})
}

// TestAcceptDeadline has Accept return when the listener's deadline passes, or is moved to what has passed.
func TestAcceptDeadline(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		l := w.listenConn(nil).(interface {
			net.Listener
			SetDeadline(time.Time) error
		})
		now := w.k.Clock().Now
		accept := func() error { _, err := l.Accept(); return err }
		begin := w.k.Now()
		require.NoError(t, l.SetDeadline(now().Add(time.Second)))
		require.ErrorIs(t, w.ask("the deadline", accept), os.ErrDeadlineExceeded)
		require.GreaterOrEqual(t, w.k.Now()-begin, time.Second)
		require.Less(t, w.k.Now()-begin, 1100*time.Millisecond)
		require.ErrorIs(t, accept(), os.ErrDeadlineExceeded) // it stays
		require.NoError(t, l.SetDeadline(now().Add(time.Hour)))
		waits := asks(accept)
		synctest.Wait()
		begin = w.k.Now()
		require.NoError(t, l.SetDeadline(now().Add(-time.Second)))
		require.ErrorIs(t, w.answer("the deadline that was moved", waits), os.ErrDeadlineExceeded)
		require.Less(t, w.k.Now()-begin, time.Second)
		require.NoError(t, l.SetDeadline(time.Time{}))
		waits = asks(accept)
		w.dial(l.Addr().String())
		require.NoError(t, w.answer("a connection", waits))
		require.NoError(t, l.SetDeadline(now().Add(time.Hour)))
		waits = asks(accept)
		w.dial(l.Addr().String())
		require.NoError(t, w.answer("a connection before the deadline", waits))
		w.k.Advance(time.Second)
		require.True(t, w.k.Idle()) // nobody waits for the deadline any longer
		waits = asks(accept)
		synctest.Wait()
		require.NoError(t, w.ask("Close", l.Close))
		for _, err := range []error{w.answer("the listener's end", waits), accept()} {
			require.ErrorIs(t, err, net.ErrClosed)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "accept", op.Op)
		}
		require.ErrorIs(t, l.SetDeadline(time.Time{}), net.ErrClosed)
		w.endStepped()
	})
}
