package simulated_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// detach detaches a stream, and waits until its Conn is live.
func (w *world) detach(h *hooks) net.Conn {
	live := false
	c, err := session.DetachWith(h.s, func() (unread, unsent []byte) { live = true; return nil, nil })
	require.NoError(w.t, err)
	w.steps("a live Conn", func() bool { return live })
	return c
}

// TestAdoptWhatAConnHolds has a Conn with unread and unsent bytes become a stream: both come first, in order, and whoever
// waits for the unsent ones is told when they are taken.
func TestAdoptWhatAConnHolds(t *testing.T) {
	for _, fin := range []bool{false, true} {
		bubbles(t, func(t *testing.T, completions bool) {
			w, h, p := detachPair(t, completions, small)
			h.data = func(*session.Stream) {}
			p.Stop(true)
			p.Send([]byte("unread, "))
			w.steps("bytes", func() bool { return w.e.Stats().BytesIn == 8 })
			told := 0
			rest := bytes.Repeat([]byte("rest"), 50_000) // more than HighWater
			require.NoError(t, h.s.WriteNotify(rest, func(err error) { require.NoError(t, err); told++ }))
			c := w.detach(h)
			if fin {
				require.NoError(t, c.(halfConn).CloseWrite())
			}
			got := ""
			next := &hooks{}
			next.data = func(s *session.Stream) {
				b, _ := s.Next(-1)
				got += string(b)
			}
			next.open = func(s *session.Stream) {
				require.GreaterOrEqual(t, s.Queued(), len(rest)-2000)
				require.False(t, s.Writable())
				_, err := s.Write([]byte(", end"))
				if fin {
					require.ErrorIs(t, err, net.ErrClosed)
				} else {
					require.NoError(t, err)
				}
			}
			require.NoError(t, w.ask("Adopt", func() error { _, err := w.e.Adopt(c.(syscall.Conn), next); return err }))
			_, err := c.Write([]byte("x"))
			require.ErrorIs(t, err, net.ErrClosed)
			w.steps("OnOpen", next.isOpen)
			require.Zero(t, told)
			p.Stop(false)
			w.steps("what the Conn had", func() bool { return got == "unread, " })
			p.Send([]byte("and more"))
			w.steps("what was unread", func() bool { return got == "unread, and more" })
			want := string(rest) + ", end"
			if fin {
				want = string(rest)
			}
			w.steps("what was queued", func() bool { return p.Count() >= len(want) })
			require.Equal(t, want, string(p.Received()))
			w.steps("its report", func() bool { return told == 1 })
			if fin {
				w.steps("FIN", p.EOF)
			}
			w.endStepped()
			require.Equal(t, 1, told)
			require.Equal(t, 1, h.ended)
			s := w.e.Stats()
			require.Equal(t, s.BytesIn, s.BytesDelivered+s.BytesDropped)
		})
	}
}

// TestAdoptAHalfClosedConn has CloseWrite be over when a Conn is adopted: the stream is half-closed from the beginning.
func TestAdoptAHalfClosedConn(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := looped(t, completions, simulated.Config{}, 1, func(c *session.Config) { c.Stream.HalfCloseTimeout = time.Second })
		h := &hooks{}
		p := w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		c := w.detach(h)
		require.NoError(t, c.(halfConn).CloseWrite())
		w.steps("FIN", p.EOF)
		next := &hooks{}
		require.NoError(t, w.ask("Adopt", func() error { _, err := w.e.Adopt(c.(syscall.Conn), next); return err }))
		w.steps("OnOpen", next.isOpen)
		begin := w.k.Now()
		w.steps("OnClose", next.over)
		require.ErrorIs(t, next.err, os.ErrDeadlineExceeded)
		require.GreaterOrEqual(t, w.k.Now()-begin, 990*time.Millisecond)
		w.endStepped()
	})
}

// TestAdoptIsRefused has what cannot become a stream stay as it was.
func TestAdoptIsRefused(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{})
		adopt := func(c syscall.Conn) error {
			return w.ask("Adopt", func() error { _, err := w.e.Adopt(c, &hooks{}); return err })
		}
		var raw elsewhere // of a listener
		_, err := w.e.Listen("tcp", "localhost:0", h, &session.ListenOptions{Control: func(_, _ string, c syscall.RawConn) error {
			raw.c = c
			return nil
		}})
		require.NoError(t, err)
		require.ErrorIs(t, adopt(raw), syscall.ENOTCONN)

		var c net.Conn // which a callback has
		p.Send([]byte("unread"))
		h.data = func(s *session.Stream) {
			var err error
			c, err = s.Detach()
			require.NoError(t, err)
			_, err = w.e.Adopt(c.(syscall.Conn), &hooks{})
			require.ErrorIs(t, err, backend.ErrOnLoop)
		}
		w.steps("OnClose", h.over)
		w.k.Shortage(syscall.EMFILE)
		require.ErrorIs(t, adopt(c.(syscall.Conn)), syscall.EMFILE)
		w.k.Shortage(nil)
		got := make([]byte, 6)
		_, err = io.ReadFull(c, got) // it was not touched
		require.NoError(t, err)
		require.Equal(t, "unread", string(got))
		require.NoError(t, c.Close())
		require.ErrorIs(t, adopt(c.(syscall.Conn)), net.ErrClosed)
		w.endStepped()
	})
}

// TestAdoptOfAFailedConn says why the Conn has failed: the stream's peer had reset it, or takes nothing of what was queued.
func TestAdoptOfAFailedConn(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, small)
		p.Stop(true)
		_, err := h.s.Write(make([]byte, 10_000))
		require.NoError(t, err)
		c := w.detach(h)
		p.Reset()
		w.k.Advance(time.Second)
		synctest.Wait()
		_, err = w.e.Adopt(c.(syscall.Conn), &hooks{})
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, c.Close())
		w.endStepped()

		var failure *session.PanicError
		w, h, _ = detachPair(t, completions, simulated.Config{})
		c, err = session.DetachWith(h.s, func() (unread, unsent []byte) { panic("on purpose") })
		require.NoError(t, err)
		require.ErrorAs(t, w.ask("Adopt", func() error { _, err := w.e.Adopt(c.(syscall.Conn), &hooks{}); return err }), &failure)
		require.NoError(t, c.Close())
		w.endStepped()
	})
}

// TestAdoptOnADeadLoop has the loop be dead by the time of Adopt: the Conn goes on with all that it holds.
func TestAdoptOnADeadLoop(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, small, 1)
		h := &hooks{data: func(*session.Stream) {}}
		p := w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		p.Stop(true)
		p.Send([]byte("unread"))
		w.steps("bytes", func() bool { return w.e.Stats().BytesIn == 6 })
		rest := bytes.Repeat([]byte("rest"), 2000)
		_, err := h.s.Write(rest)
		require.NoError(t, err)
		c := w.detach(h)
		drivers[0].Fail()
		w.steps("the end of the loop", func() bool { return w.e.Err() != nil })
		_, err = w.e.Adopt(c.(syscall.Conn), &hooks{})
		require.ErrorIs(t, err, net.ErrClosed)
		got := make([]byte, 6)
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, "unread", string(got))
		p.Stop(false)
		passes := func(n int) {
			for p.Count() < n && !w.k.Idle() {
				w.k.Advance(time.Millisecond)
				synctest.Wait()
			}
		}
		passes(len(rest))
		require.Equal(t, string(rest), string(p.Received())) // it went on by itself
		require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte(", end")); return err }))
		passes(len(rest) + 5)
		require.Equal(t, string(rest)+", end", string(p.Received()))
		require.NoError(t, c.Close())
		synctest.Wait()
		_ = w.e.Close()
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestDetachIsRefused has no descriptor to spare: the stream lives on.
func TestDetachIsRefused(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{})
		w.k.Shortage(syscall.EMFILE)
		_, err := h.s.Detach()
		require.ErrorIs(t, err, syscall.EMFILE)
		var op *net.OpError
		require.True(t, errors.As(err, &op))
		require.Equal(t, "detach", op.Op)
		w.k.Shortage(nil)
		_, err = h.s.Write([]byte("x"))
		require.NoError(t, err)
		w.steps("a byte", func() bool { return p.Count() == 1 })
		require.False(t, h.over())
		w.endStepped()
	})
}

// TestDetachOnADyingLoop has the loop die before it has handed the connection over: the Conn fails with the cause, its peer
// sees a reset, and who waits for bytes is told.
func TestDetachOnADyingLoop(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, drivers := stepped(t, completions, small, 1)
		h := &hooks{}
		p := w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		p.Stop(true)
		var told []error
		require.NoError(t, h.s.WriteNotify(make([]byte, 8000), func(err error) { told = append(told, err) }))
		w.k.Advance(time.Second)
		drivers[0].Fail()
		c, err := h.s.Detach()
		require.NoError(t, err)
		w.steps("the end of the loop", func() bool { return w.e.Err() != nil })
		require.Equal(t, 1, h.ended)
		require.Len(t, told, 1)
		require.Error(t, told[0])
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, simulated.ErrFailed)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, simulated.ErrFailed)
		_ = c.Close()
		synctest.Wait()
		w.k.Advance(time.Second)
		p.Stop(false)
		require.ErrorIs(t, p.Err(), syscall.ECONNRESET)
		_ = w.e.Close()
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestShutdownDoesNotWaitForARest has a Conn send what its stream had queued while the Transport is aborted: who waits for
// these bytes is told, once, and the Conn goes on.
func TestShutdownDoesNotWaitForARest(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, small)
		p.Stop(true)
		var told []error
		rest := bytes.Repeat([]byte("rest"), 2000)
		require.NoError(t, h.s.WriteNotify(rest, func(err error) { told = append(told, err) }))
		c := w.detach(h)
		w.k.Advance(time.Second)
		require.Empty(t, told)
		require.NoError(t, w.ask("Close", w.e.Close))
		require.Len(t, told, 1)
		require.Error(t, told[0])
		require.Equal(t, 1, h.ended)
		p.Stop(false)
		for p.Count() < len(rest) && !w.k.Idle() {
			w.k.Advance(time.Millisecond)
			synctest.Wait()
		}
		require.Equal(t, len(rest), p.Count())
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Zero(t, w.k.OpenDescriptors())
		require.Len(t, told, 1)
	})
}
