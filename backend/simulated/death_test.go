package simulated_test

import (
	"context"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestGoexitInACallback has a callback end the goroutine of one of two loops: that loop dies, its streams say in whose
// callback, and the other goes on.
func TestGoexitInACallback(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		a, b := &hooks{}, &hooks{}
		p, q := w.peer(a, nil), w.peer(b, nil)
		w.steps("both", func() bool { return a.opened && b.opened })
		require.NotEqual(t, a.s.Loop(), b.s.Loop())
		a.data = func(*session.Stream) { runtime.Goexit() }
		p.Send([]byte("x"))
		w.steps("OnClose", a.over)
		require.ErrorIs(t, a.err, backend.ErrGoexit)
		require.ErrorContains(t, a.err, "OnData of stream")
		w.steps("a reset", func() bool { return p.Err() != nil })
		require.NoError(t, w.e.Err())
		require.False(t, b.over())
		_, err := b.s.Write([]byte("x"))
		require.NoError(t, err)
		w.steps("a byte", func() bool { return q.Count() == 1 })
		w.endStepped()
		require.Equal(t, 1, a.ended)
	})
}

// TestGoexitWhileALoopDies has each callback of the end call Goexit again: every stream gets its OnClose, every function
// that was posted runs, and who waits for bytes is told.
func TestGoexitWhileALoopDies(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, small, 1)
		var all []*hooks
		posted, told := 0, 0
		var listeners []session.Listener
		for range 4 {
			h := &hooks{close: func(*session.Stream, error) { runtime.Goexit() }}
			l, err := w.e.Listen("tcp", "localhost:0", h, nil)
			require.NoError(t, err)
			listeners = append(listeners, l)
			p := w.dial(l.Addr().String())
			p.Stop(true)
			w.steps("OnOpen", h.isOpen)
			require.NoError(t, h.s.WriteNotify(make([]byte, 5000), func(error) { told++; runtime.Goexit() }))
			all = append(all, h)
		}
		w.k.Advance(time.Second)
		for range 20 {
			w.k.Step()
		}
		for _, h := range all {
			require.NoError(t, h.s.Post(func() { posted++; runtime.Goexit() }))
		}
		drivers[0].Fail()
		w.steps("the end of the loop", func() bool { return w.e.Err() != nil })
		for i, h := range all {
			require.Equal(t, 1, h.ended, "stream %d", i)
			require.Error(t, h.err)
			require.Zero(t, listeners[i].Stats().Streams)
		}
		require.Equal(t, 4, posted)
		require.Equal(t, 4, told)
		require.NoError(t, w.ask("Close", w.e.Close))
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestPanicPropagatesWhileALoopDies has the loop of a caller die, and a callback of that panic: Poll passes the panic on, and
// the loop ends all the same.
func TestPanicPropagatesWhileALoopDies(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		var d simulated.Driver
		w := driven(t, completions, simulated.Config{}, func(c *session.Config) {
			c.Propagate = true
			d = c.Drivers[0].(simulated.Driver)
		})
		h, other := &hooks{}, &hooks{}
		h.close = func(*session.Stream, error) { panic(errOnPurpose) }
		w.peer(other, nil)
		w.peer(h, nil)
		w.until("both", func() bool { return h.opened && other.opened })
		d.Fail()
		require.PanicsWithValue(t, errOnPurpose, func() { _, _ = w.e.Poll(0) })
		synctest.Wait()
		require.ErrorIs(t, w.e.Err(), simulated.ErrFailed)
		require.Equal(t, 1, h.ended)
		require.Equal(t, 1, other.ended)
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// bound is a driver that no other goroutine can go on with.
type bound struct{ backend.Driver }

// TestBoundDriver has another goroutine end an engine whose driver is bound to the one that polls: its streams are reset, and
// Shutdown says so.
func TestBoundDriver(t *testing.T) {
	for _, c := range []struct {
		streams bool
		end     func(w *world) error
		want    error
	}{
		{true, func(w *world) error { return w.e.Close() }, nil},
		{true, func(w *world) error { return w.e.Shutdown(context.Background()) }, backend.ErrThread},
		{false, func(w *world) error { return w.e.Shutdown(context.Background()) }, nil},
	} {
		bubbles(t, func(t *testing.T, completions bool) {
			w := driven(t, completions, simulated.Config{}, func(c *session.Config) { c.Drivers[0] = bound{c.Drivers[0]} })
			h := &hooks{}
			p := w.peer(h, nil)
			w.until("OnOpen", h.isOpen)
			if !c.streams {
				p.Close()
				w.until("OnClose", h.over)
			}
			require.ErrorIs(t, passUntil(t, w, "the end", asks(func() error { return c.end(w) })), c.want)
			require.Equal(t, 1, h.ended)
			if c.streams {
				require.ErrorIs(t, h.err, backend.ErrThread)
				w.k.Advance(time.Second)
				require.ErrorIs(t, p.Err(), syscall.ECONNRESET)
			}
			require.Zero(t, w.k.OpenDescriptors())
			_, err := w.e.Poll(0)
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

// unstartable is a driver that cannot begin.
type unstartable struct{ backend.Driver }

func (unstartable) Start(*backend.Counters) error { return errOnPurpose }

// TestDriverThatCannotStart has New say so, of one of several loops, and Poll of a caller's.
func TestDriverThatCannotStart(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		k := simulated.New(simulated.Config{})
		drivers := k.Drivers(3, completions)
		whole := drivers[0].(simulated.Driver)
		drivers[1] = unstartable{drivers[1]}
		_, err := session.New(engineConfig(t, k, drivers, nil))
		require.ErrorIs(t, err, errOnPurpose)
		synctest.Wait()
		_, err = whole.Poll(0)
		require.ErrorContains(t, err, "after Close")

		w := driven(t, completions, simulated.Config{}, func(c *session.Config) { c.Drivers[0] = unstartable{c.Drivers[0]} })
		h := &hooks{}
		s, err := w.e.Connect("tcp", "127.0.0.1:1", h, nil)
		require.NoError(t, err)
		_, err = w.e.Poll(0)
		require.ErrorIs(t, err, errOnPurpose)
		require.ErrorIs(t, w.e.Err(), errOnPurpose)
		require.ErrorIs(t, h.err, errOnPurpose)
		require.ErrorIs(t, s.Post(func() {}), net.ErrClosed)
		w.end()
		require.Equal(t, 1, h.ended)
	})
}

// TestResetBeforeTheConnIsLive has a callback detach a stream whose reset is about to be reported: the bytes are read first,
// and then the reset.
func TestResetBeforeTheConnIsLive(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		var c net.Conn
		h := &hooks{data: func(s *session.Stream) {
			var err error
			c, err = s.Detach()
			require.NoError(t, err)
		}}
		p := w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		p.Send([]byte("bytes"))
		w.k.Advance(time.Second)
		p.Reset()
		w.k.Advance(time.Second) // both are there when the loop looks
		w.steps("OnClose", h.over)
		require.NoError(t, h.err)
		_, err := w.e.Adopt(c.(syscall.Conn), &hooks{})
		if completions { // else the reset is in the socket still
			require.ErrorIs(t, err, syscall.ECONNRESET)
		} else {
			require.ErrorIs(t, err, syscall.ENOTCONN)
		}
		got := make([]byte, 5)
		require.NoError(t, w.ask("a Read", func() error { _, err := io.ReadFull(c, got); return err }))
		require.Equal(t, "bytes", string(got))
		require.ErrorIs(t, w.ask("the reset", func() error { _, err := c.Read(got); return err }), syscall.ECONNRESET)
		require.NoError(t, c.Close())
		w.endStepped()
	})
}

// TestAllLoopsAreDead has nothing begin any longer: not a listener, and not a dial.
func TestAllLoopsAreDead(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, simulated.Config{}, 3)
		for _, d := range drivers {
			d.Fail()
		}
		w.steps("the end of the last loop", func() bool { return w.e.Err() != nil })
		_, err := w.e.Listen("tcp", "localhost:0", &hooks{}, nil)
		require.ErrorIs(t, err, simulated.ErrFailed)
		h := &hooks{}
		_, err = w.e.Connect("tcp", "127.0.0.1:1", h, nil)
		require.ErrorIs(t, err, net.ErrClosed)
		c, _, err := w.k.NewConn("tcp")
		require.NoError(t, err)
		_, err = w.e.Adopt(c, h)
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, c.Close()) // it is its owner's still
		require.Zero(t, h.ended)
		require.Zero(t, w.k.OpenDescriptors())
		require.NoError(t, w.ask("Close", w.e.Close))
	})
}

// TestShutdownAfterTheEnd has nothing to abort, whatever its context says.
func TestShutdownAfterTheEnd(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		w.endStepped()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 { // select chooses by chance
			require.NoError(t, w.e.Shutdown(ctx))
		}
	})
}
