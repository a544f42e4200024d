package simulated_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// small is a kernel that holds little, so that a peer that does not read is noticed.
var small = simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000}

// opened is a stream with a peer.
func opened(t *testing.T, completions bool, c simulated.Config, o session.StreamOptions) (*world, *hooks, *simulated.Peer) {
	w := newWorld(t, completions, c)
	h := &hooks{}
	p := w.peer(h, &session.ListenOptions{StreamOptions: o})
	w.until("OnOpen", h.isOpen)
	return w, h, p
}

// TestCloseTimeout has a peer take nothing for as long as Close waits: it sees a reset, and not an end.
func TestCloseTimeout(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, p := opened(t, completions, small, session.StreamOptions{CloseTimeout: 2 * time.Second})
		p.Stop(true)
		_, err := h.s.Write(make([]byte, 10_000))
		require.NoError(t, err)
		w.passes(time.Second) // what the peer's kernel takes, it has
		begin := w.k.Now()
		require.NoError(t, h.s.Close())
		w.until("OnClose", h.over)
		require.ErrorIs(t, h.err, os.ErrDeadlineExceeded)
		require.GreaterOrEqual(t, w.k.Now()-begin, 2*time.Second)
		require.LessOrEqual(t, w.k.Now()-begin, 2600*time.Millisecond) // it looks four times in that time
		w.passes(time.Second)
		p.Stop(false)
		require.ErrorIs(t, p.Err(), syscall.ECONNRESET)
		require.False(t, p.EOF())
		w.end()
	})
}

// TestCloseWaitsForASlowPeer has a peer take some bytes each second: that is slow, and may take as long as it likes. Without a
// limit it may also take none.
func TestCloseWaitsForASlowPeer(t *testing.T) {
	for _, limit := range []time.Duration{2 * time.Second, -1} {
		kinds(t, func(t *testing.T, completions bool) {
			// The kernel has room for more only when the peer has taken for longer than CloseTimeout.
			c := simulated.Config{SendBuffer: 30_000, ReceiveBuffer: 1000}
			w, h, p := opened(t, completions, c, session.StreamOptions{CloseTimeout: limit})
			p.Stop(true)
			_, err := h.s.Write(make([]byte, 60_000))
			require.NoError(t, err)
			require.NoError(t, h.s.Close())
			begin, pause := w.k.Now(), time.Second
			if limit < 0 {
				pause = time.Minute
			}
			for n := 0; p.Count() < 60_000; n++ {
				require.Less(t, n, 1000, "the peer did not get all")
				w.passes(pause)
				p.Stop(false)
				p.Stop(true) // it has read what was there
				require.Equal(t, h.s.Queued() == 0, h.over())
			}
			p.Stop(false)
			w.until("the end", func() bool { return h.over() && p.EOF() })
			require.NoError(t, h.err)
			require.Greater(t, w.k.Now()-begin, 4*time.Second)
			w.end()
		})
	}
}

// TestEndsAfterDetach has every way to end a stream do nothing once the connection was given away: not to the Conn, and not to
// bytes that come before it is live.
func TestEndsAfterDetach(t *testing.T) {
	for _, end := range []func(*session.Stream) error{(*session.Stream).Close, (*session.Stream).Abort, session.CloseInStages} {
		bubbles(t, func(t *testing.T, completions bool) {
			w, h, p := detachPair(t, completions, simulated.Config{})
			var c net.Conn
			h.data = func(s *session.Stream) {
				var err error
				c, err = s.Detach()
				require.NoError(t, err)
				require.NoError(t, end(s))
			}
			p.Send(make([]byte, 20_000))
			w.k.Advance(time.Second) // all is there when the loop looks
			w.steps("OnClose", h.over)
			require.NoError(t, h.err)
			got := make([]byte, 20_000)
			require.NoError(t, w.ask("a Read", func() error { _, err := io.ReadFull(c, got); return err }))
			require.NoError(t, w.ask("a Write", func() error { _, err := c.Write([]byte("x")); return err }))
			w.steps("a byte", func() bool { return p.Count() == 1 })
			require.NoError(t, p.Err())
			require.False(t, p.EOF())
			p.Finish()
			require.ErrorIs(t, w.ask("the peer's end", func() error { _, err := c.Read(got); return err }), io.EOF)
			require.NoError(t, c.Close())
			w.endStepped()
		})
	}
}

// TestInvalidMessageEndsOnce has Invalid end the stream in a way of its own, which holds.
func TestInvalidMessageEndsOnce(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		var c net.Conn
		for name, end := range map[string]func(*session.Stream) error{
			"detach": func(s *session.Stream) (err error) { c, err = s.Detach(); return err },
			"abort":  func(s *session.Stream) error { return s.AbortWith(errOnPurpose) },
		} {
			h := session.Frames(frame.Varint{MaxPayload: 10}, func(*session.Stream, []byte) {})
			h.Invalid = func(s *session.Stream, _ *frame.Error) { require.NoError(t, end(s)) }
			told := make(chan error, 2)
			h.Close = func(_ *session.Stream, err error) { told <- err }
			p := w.peer(h, nil)
			wire := append([]byte{100}, bytes.Repeat([]byte("x"), 20_000)...)
			p.Send(wire)
			w.k.Advance(time.Second) // all is there when the loop looks
			w.steps("OnClose", func() bool { return len(told) > 0 })
			err := <-told
			if name == "abort" {
				require.Equal(t, errOnPurpose, err)
				w.steps("a reset", func() bool { return p.Err() != nil })
				continue
			}
			require.NoError(t, err)
			got := make([]byte, len(wire))
			require.NoError(t, w.ask("a Read", func() error { _, err := io.ReadFull(c, got); return err }))
			require.True(t, bytes.Equal(wire, got)) // what was no message is there still
			require.NoError(t, p.Err())
			require.NoError(t, c.Close())
		}
		w.endStepped()
	})
}

// TestLastStageHasItsOwnTime has a stream close in stages, with an idle time that is shorter than the last stage.
func TestLastStageHasItsOwnTime(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, p := opened(t, completions, simulated.Config{}, session.StreamOptions{IdleTimeout: 100 * time.Millisecond})
		require.NoError(t, session.CloseInStages(h.s))
		begin := w.k.Now()
		w.until("FIN", p.EOF)
		w.until("OnClose", h.over)
		require.NoError(t, h.err)
		require.GreaterOrEqual(t, w.k.Now()-begin, 500*time.Millisecond)
		require.Less(t, w.k.Now()-begin, time.Second)
		w.end()
	})
}

// TestHalfCloseTimeout has a half-closed stream, on which nothing moves, end.
func TestHalfCloseTimeout(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		o := session.StreamOptions{HalfCloseTimeout: time.Second}
		w, h, p := opened(t, completions, simulated.Config{}, o)
		h.data = func(s *session.Stream) { _, _ = s.Discard(-1) }
		w.passes(time.Minute)
		require.False(t, h.over())
		require.NoError(t, h.s.CloseWrite())
		w.passes(10 * time.Millisecond)
		require.True(t, p.EOF())
		for range 5 { // the peer goes on
			w.passes(900 * time.Millisecond)
			p.Send([]byte("x"))
		}
		require.False(t, h.over())
		begin := w.k.Now()
		w.until("OnClose", h.over)
		require.ErrorIs(t, h.err, os.ErrDeadlineExceeded)
		require.GreaterOrEqual(t, w.k.Now()-begin, time.Second)
		require.Less(t, w.k.Now()-begin, 1100*time.Millisecond)
		w.end()
	})
}

// TestMemoryLimit has two streams hold what they do not read: the second gets less, because the first holds so much, and goes
// on by itself when the first one reads.
func TestMemoryLimit(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		const limit, each, overshoot = 1_000_000, 900_000, 64 << 10 // a request of a driver may bring so much
		w := driven(t, completions, simulated.Config{}, func(c *session.Config) { c.MemoryLimit = limit })
		var streams []*session.Stream
		read := map[*session.Stream]int{}
		h := &hooks{open: func(s *session.Stream) { streams = append(streams, s) }}
		address := w.serve(h, nil)
		for range 2 {
			w.dial(address).Send(make([]byte, each))
			w.passes(10 * time.Second)
		}
		require.InDelta(t, limit/2, streams[0].Buffered(), overshoot)
		require.InDelta(t, limit/4, streams[1].Buffered(), overshoot)
		h.data = func(s *session.Stream) {
			n, _ := s.Discard(-1)
			read[s] += n
		}
		require.NoError(t, streams[0].Post(func() { h.data(streams[0]) }))
		w.until("all of both", func() bool { return read[streams[0]] == each && read[streams[1]] == each })
		w.end()
	})
}

// TestStuckHandler has a handler leave what has reached the limit: that is logged once, after a second, and not while
// it moves.
func TestStuckHandler(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, log := logged(t, completions, simulated.Config{}, nil)
		h := &hooks{}
		p := w.peer(h, &session.ListenOptions{StreamOptions: session.StreamOptions{ReadBufferLimit: 5000}})
		p.Send(make([]byte, 100_000))
		w.until("the limit", func() bool { return h.opened && h.s.Buffered() >= 5000 })
		w.passes(800 * time.Millisecond)
		require.NoError(t, h.s.Post(func() { _, _ = h.s.Discard(1000) })) // it moves, and remains full
		w.passes(900 * time.Millisecond)
		require.Zero(t, log.count("leaves unread"))
		w.passes(10 * time.Second)
		require.Equal(t, 1, log.count("leaves unread"))
		require.Equal(t, 1, log.count("limit=5000"))
		w.end()
	})
}

// TestPanicsAreLogged has more callbacks panic than are logged in a second: the next one that is says how many were not.
func TestPanicsAreLogged(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, log := logged(t, completions, simulated.Config{}, nil)
		var errs []error
		h := &hooks{data: func(*session.Stream) { panic(errOnPurpose) }, close: func(_ *session.Stream, err error) { errs = append(errs, err) }}
		address := w.serve(h, nil)
		for i, n := range []int{15, 1} {
			for range n {
				w.dial(address).Send([]byte("x"))
			}
			w.until("all ends", func() bool { return len(errs) == []int{15, 16}[i] })
			w.passes(2 * time.Second)
		}
		for _, err := range errs {
			var failure *session.PanicError
			require.True(t, errors.As(err, &failure))
			require.Equal(t, errOnPurpose, failure.Value)
		}
		require.Equal(t, 11, log.count("panic in a callback"))
		require.Equal(t, 1, log.count(`skipped=5`))
		require.EqualValues(t, 16, w.e.Stats().Panics)
		w.end()
	})
}
