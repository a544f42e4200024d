package simulated_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestListenerOfConnsEnds has connections wait for Accept when the listener is closed, and one come right then: all are
// reset, and none counts any longer.
func TestListenerOfConnsEnds(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		for seed := range uint64(30) {
			w, _ := stepped(t, completions, simulated.Config{Seed: seed, Latency: time.Nanosecond}, 1)
			l := w.listenConn(nil)
			closes := &hooks{data: func(*session.Stream) { require.NoError(t, l.Close()) }}
			p := w.peer(closes, nil)
			w.steps("OnOpen", closes.isOpen)
			first := w.dial(l.Addr().String())
			w.steps("a connection that waits", func() bool { return w.e.Stats().Accepts == 2 })
			p.Send([]byte("x"))
			second := w.dial(l.Addr().String())
			w.k.Advance(time.Microsecond) // both are there when the loop looks
			w.steps("two resets", func() bool { return first.Err() != nil && second.Err() != nil })
			require.Zero(t, statsOf(l).Streams)
			w.endStepped()
		}
	})
}

// TestConnThatCannotBeWatched has memory be short when Accept makes a Conn: that one is closed and counted, and Accept
// returns the next.
func TestConnThatCannotBeWatched(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		l := w.listenConn(&session.ListenOptions{MaxConns: 2})
		first, second := w.dial(l.Addr().String()), w.dial(l.Addr().String())
		w.steps("two that wait", func() bool { return w.e.Stats().Accepts == 2 })
		w.k.Shortage(syscall.ENOMEM)
		var c net.Conn
		accepted := asks(func() (err error) { c, err = l.Accept(); return err })
		synctest.Wait()
		w.k.Shortage(nil)
		w.steps("their ends", func() bool { return first.EOF() && second.EOF() })
		require.Empty(t, accepted)
		third := w.dial(l.Addr().String())
		require.NoError(t, w.answer("the third", accepted))
		w.steps("its peer", third.Connected)
		require.Equal(t, third.Addr().String(), c.RemoteAddr().String())
		s := statsOf(l)
		require.GreaterOrEqual(t, s.Errors, uint64(2))
		require.Equal(t, 1, s.Streams) // the others have given their room back
		require.EqualValues(t, 1, w.e.Stats().Conns.Open)
		w.endStepped()
	})
}

// TestConnsOutliveTheirLoops has all loops fail: Accept returns the cause, and Conns go on.
func TestConnsOutliveTheirLoops(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, simulated.Config{}, 1)
		l := w.listenConn(nil)
		p, waits := w.dial(l.Addr().String()), w.dial(l.Addr().String())
		c, err := w.accept(l)
		require.NoError(t, err)
		w.steps("one that waits", func() bool { return w.e.Stats().Accepts == 2 })
		for _, d := range drivers {
			d.Fail()
		}
		w.steps("the end of the loop", func() bool { return w.e.Err() != nil })
		_, err = l.Accept()
		require.ErrorIs(t, err, simulated.ErrFailed)
		_, err = w.e.ListenConn("tcp", "localhost:0", nil)
		require.ErrorIs(t, err, simulated.ErrFailed)
		require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte("x")); return err }))
		w.k.Advance(time.Second)
		require.Equal(t, 1, p.Count())
		require.Error(t, waits.Err())
		require.NoError(t, c.Close())
		_ = w.e.Close()
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestShutdownEndsConnsThatWait has Shutdown end a Conn that waits for its peer, and let a Write end that is at work.
func TestShutdownEndsConnsThatWait(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, l, reader, p := connected(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
		slow := w.dial(l.Addr().String())
		writer, err := w.accept(l)
		require.NoError(t, err)
		slow.Stop(true)
		reads := asks(func() error { _, err := reader.Read(make([]byte, 1)); return err })
		writes := asks(func() error { _, err := writer.Write(make([]byte, 5000)); return err })
		also := asks(func() error { _, err := writer.Read(make([]byte, 1)); return err })
		synctest.Wait()
		down := asks(func() error { return w.e.Shutdown(t.Context()) })
		require.ErrorIs(t, w.answer("the end of the Read", reads), net.ErrClosed)
		w.steps("its peer's", p.EOF)
		w.k.Advance(time.Minute)
		synctest.Wait()
		require.Empty(t, writes)
		require.Empty(t, down)
		_, err = w.e.DialConn(t.Context(), "tcp", l.Addr().String(), nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		slow.Stop(false)
		require.NoError(t, w.answer("the end of the Write", writes))
		require.ErrorIs(t, w.answer("the end of its Read", also), net.ErrClosed)
		require.NoError(t, w.answer("Shutdown", down))
		w.steps("all bytes", func() bool { return slow.Count() == 5000 && slow.EOF() })
		require.NoError(t, slow.Err())
		w.endStepped()
	})
}

// TestShutdownResetsConns has Shutdown's context end while Conns are at work, or nobody's.
func TestShutdownResetsConns(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, l, idle, p := connected(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
		stuck := w.dial(l.Addr().String())
		writer, err := w.accept(l)
		require.NoError(t, err)
		stuck.Stop(true)
		writes := asks(func() error { _, err := writer.Write(make([]byte, 5000)); return err })
		synctest.Wait()
		ctx, cancel := w.k.Clock().WithTimeout(t.Context(), time.Second)
		defer cancel()
		down := asks(func() error { return w.e.Shutdown(ctx) })
		synctest.Wait()
		w.k.Advance(900 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, down)
		require.Equal(t, 2, w.e.Stats().Conns.Open)
		require.ErrorIs(t, w.answer("Shutdown", down), context.DeadlineExceeded)
		require.ErrorIs(t, w.answer("the Write", writes), net.ErrClosed)
		_, err = idle.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		stuck.Stop(false)
		w.k.Advance(time.Second)
		require.ErrorIs(t, p.Err(), syscall.ECONNRESET)
		require.ErrorIs(t, stuck.Err(), syscall.ECONNRESET)
		require.Equal(t, session.ConnStats{Opened: 2, Closed: 2, BytesOut: w.e.Stats().Conns.BytesOut}, w.e.Stats().Conns)
		w.endStepped()
	})
}

// TestConnsOfACaller has a caller drive the loop that accepts. Its goroutine cannot dial, because it would wait for itself.
func TestConnsOfACaller(t *testing.T) {
	for _, uses := range []bool{true, false} {
		bubbles(t, func(t *testing.T, completions bool) {
			w := newWorld(t, completions, simulated.Config{Settle: synctest.Wait})
			_, err := w.e.DialConn(t.Context(), "tcp", "127.0.0.1:1", nil)
			require.ErrorIs(t, err, backend.ErrOnLoop)
			l := w.listenConn(nil)
			var c net.Conn
			accepted := asks(func() (err error) { c, err = l.Accept(); return err })
			p := w.dial(l.Addr().String())
			w.until("a connection", func() bool { return len(accepted) > 0 })
			require.NoError(t, <-accepted)
			var read <-chan error
			if uses {
				read = asks(func() error { _, err := c.Read(make([]byte, 1)); return err })
				synctest.Wait()
			}
			ctx, cancel := w.k.Clock().WithTimeout(t.Context(), time.Second)
			defer cancel()
			down := asks(func() error { return w.e.Shutdown(ctx) })
			err = passUntil(t, w, "Shutdown", down)
			if uses {
				require.NoError(t, err)
				require.ErrorIs(t, <-read, net.ErrClosed)
				require.NoError(t, p.Err())
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				w.k.Advance(time.Second)
				require.ErrorIs(t, p.Err(), syscall.ECONNRESET)
			}
			require.Zero(t, w.k.OpenDescriptors())
		})
	}
}
