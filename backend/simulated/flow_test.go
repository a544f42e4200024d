package simulated_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestWholeWrites has writes be taken whole or not at all; one that is larger than the limit is, if nothing is queued.
func TestWholeWrites(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, p := opened(t, completions, small, session.StreamOptions{WriteBufferLimit: 10_000, HighWater: 5000, LowWater: 100})
		p.Stop(true)
		large := bytes.Repeat([]byte("large"), 10_000)
		_, err := h.s.Write(large)
		require.NoError(t, err)
		w.passes(time.Second)
		queued := h.s.Queued()
		require.Greater(t, queued, 10_000)
		_, err = h.s.Write([]byte("x"))
		require.ErrorIs(t, err, session.ErrWriteBufferFull)
		_, err = h.s.Writev(net.Buffers{[]byte("x"), []byte("y")})
		require.ErrorIs(t, err, session.ErrWriteBufferFull)
		require.ErrorIs(t, h.s.WriteNotify([]byte("x"), func(error) { t.Error("it was told") }), session.ErrWriteBufferFull)
		n, err := session.WritePart(h.s, []byte("x"))
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, queued, h.s.Queued())
		p.Stop(false)
		w.until("an empty queue", func() bool { return h.s.Queued() == 0 })
		n, err = session.WritePart(h.s, nil)
		require.NoError(t, err)
		require.Zero(t, n)
		_, err = h.s.Write([]byte("end"))
		require.NoError(t, err)
		require.NoError(t, h.s.Close())
		w.until("the end", func() bool { return h.over() && p.EOF() })
		require.Equal(t, string(large)+"end", string(p.Received()))
		w.end()
	})
}

// TestPostsShareTheTurn has many functions be posted that take long: others get their turns between them, and all run in order.
func TestPostsShareTheTurn(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, _ := opened(t, completions, simulated.Config{}, session.StreamOptions{})
		const n = 100
		ran, first := 0, w.e.Stats().Turns
		for i := range n {
			require.NoError(t, h.s.Post(func() {
				require.Equal(t, i, ran)
				w.k.Spend(200 * time.Microsecond)
				ran++
			}))
		}
		ended := false
		h.s.After(time.Millisecond, func() { ended = true; require.Less(t, ran, n/2) })
		w.until("all", func() bool { return ran == n })
		require.True(t, ended)
		require.GreaterOrEqual(t, w.e.Stats().Turns-first, uint64(10)) // at least 1.6 ms of functions each
		require.Less(t, w.e.Stats().LongestTurn, 3*time.Millisecond)
		w.end()
	})
}

// TestResetDeliversWhatTheKernelHas has a write find out that the peer has reset the connection, when the kernel has more than a
// turn delivers: all of it is delivered, in several turns, and then OnClose tells the reset. What is taken is the taker's.
func TestResetDeliversWhatTheKernelHas(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		o := session.StreamOptions{TurnBudget: 8 << 10}
		w, h, p := opened(t, completions, simulated.Config{ReceiveBuffer: 256 << 10, SendBuffer: 256 << 10}, o)
		h.s.PauseRead()
		message := bytes.Repeat([]byte("0123456789abcdef"), 200<<10/16)
		p.Send(message)
		w.k.Advance(time.Second)
		p.Reset()
		w.k.Advance(time.Second)
		var got []*session.Buffer
		var turns []uint64
		h.data = func(s *session.Stream) {
			if got == nil {
				_, err := s.Write([]byte("x"))
				require.NoError(t, err)
				require.NoError(t, s.Flush())
			}
			turns = append(turns, w.e.Stats().Turns)
			b, err := s.Take(-1)
			require.NoError(t, err)
			got = append(got, b)
		}
		h.eof = func(*session.Stream) { t.Error("an end that is none") }
		h.s.ResumeRead()
		w.until("OnClose", h.over)
		require.ErrorIs(t, h.err, syscall.ECONNRESET)
		var all []byte
		for _, b := range got {
			all = append(all, b.Bytes()...)
			b.Release()
		}
		require.True(t, bytes.Equal(message, all))
		require.Greater(t, turns[len(turns)-1], turns[0]+1)
		w.end()
	})
}

// TestResetOfAPausedStream has a paused stream learn of it, with bytes unread that it may read in OnClose, up to its limit.
func TestResetOfAPausedStream(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, p := opened(t, completions, simulated.Config{}, session.StreamOptions{ReadBufferLimit: 20_000})
		h.s.PauseRead()
		h.data = func(*session.Stream) { t.Error("OnData in a pause") }
		var got []byte
		h.close = func(s *session.Stream, _ error) {
			lent, _ := s.Next(-1)
			got = bytes.Clone(lent)
		}
		p.Send(bytes.Repeat([]byte("x"), 10_000))
		w.passes(time.Second)
		p.Reset()
		w.until("OnClose", h.over)
		require.ErrorIs(t, h.err, syscall.ECONNRESET)
		require.Equal(t, strings.Repeat("x", 10_000), string(got))
		w.end()
	})
}

// silent is a handler that does nothing, but for keeping bytes of its own.
type silent struct {
	session.BaseHandler
	held []byte
}

func (h *silent) Unread(*session.Stream) []byte { return h.held }

// TestHolder has a handler hold bytes, which the Conn of Detach reads first. Without a function of its own the handler leaves
// what comes.
func TestHolder(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		_, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		l, err := w.e.Listen("tcp", "127.0.0.1:81", &echo{}, nil)
		require.NoError(t, err)
		h := &silent{held: []byte("held, ")}
		var s *session.Stream
		w.beside("Dial", func() { s, err = w.e.Dial(t.Context(), "tcp", l.Addr().String(), h, nil) })
		require.NoError(t, err)
		_, err = s.Write([]byte("unread"))
		require.NoError(t, err)
		w.steps("an echo", func() bool { return w.e.Stats().BytesIn == 12 })
		c, err := s.Detach()
		require.NoError(t, err)
		got := make([]byte, 12)
		require.NoError(t, w.ask("a Read", func() error { _, err := io.ReadFull(c, got); return err }))
		require.Equal(t, "held, unread", string(got))
		require.NoError(t, c.Close())
		w.endStepped()
	})
}

// TestManySockets has descriptors and their places be used again and again: each event reaches its own stream.
func TestManySockets(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{Latency: time.Microsecond})
		h := &echo{}
		address := w.serve(h, nil)
		peers := make([]*simulated.Peer, 200)
		for round := range 5 {
			peers = peers[:200-25*round]
			for i := range peers {
				if peers[i] = w.dial(address); i%3 == round%3 {
					peers[i].Send([]byte{byte(i)})
				}
			}
			w.passes(10 * time.Millisecond)
			for i, p := range peers {
				if i%3 == round%3 {
					require.Equal(t, []byte{byte(i)}, p.Received())
				} else {
					require.Empty(t, p.Received())
				}
				p.Close()
			}
			w.until("all ends", func() bool { return h.closed == h.opened })
		}
		require.Equal(t, 200+175+150+125+100, h.closed)
		w.end()
	})
}
