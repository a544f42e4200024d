package simulated_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// halfConn is what the Conn of Detach offers beyond net.Conn.
type halfConn interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	NetConn() net.Conn
	SyscallConn() (syscall.RawConn, error)
}

// detachPair is a stream that is open, with a peer, on one loop that the test steps.
func detachPair(t *testing.T, completions bool, c simulated.Config) (*world, *hooks, *simulated.Peer) {
	w, _ := stepped(t, completions, c, 1)
	h := &hooks{}
	p := w.peer(h, nil)
	w.steps("OnOpen", h.isOpen)
	return w, h, p
}

func TestDetachedConn(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{})
		h.data = func(*session.Stream) {} // leaves what comes
		p.Send([]byte("unread, "))
		w.steps("bytes", func() bool { return w.e.Stats().BytesIn == 8 })
		detached, err := h.s.Detach()
		require.NoError(t, err)
		_, err = h.s.Detach()
		require.ErrorIs(t, err, net.ErrClosed)
		c := detached.(halfConn)
		require.Equal(t, p.Addr().String(), c.RemoteAddr().String())
		require.NotNil(t, c.LocalAddr())
		_, err = c.SyscallConn()
		require.NoError(t, err)
		require.NotNil(t, c.NetConn())
		p.Send([]byte("and more"))
		w.beside("a Read of everything", func() {
			p := make([]byte, 16)
			_, err := io.ReadFull(c, p)
			require.NoError(t, err)
			require.Equal(t, "unread, and more", string(p))
		})
		w.steps("OnClose", h.over)
		require.NoError(t, h.err)
		w.beside("a Write", func() { _, err = c.Write([]byte("answer")) })
		require.NoError(t, err)
		require.NoError(t, c.CloseWrite())
		require.NoError(t, c.CloseWrite())
		w.steps("the answer and FIN", p.EOF)
		require.Equal(t, "answer", string(p.Received()))
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		p.Finish()
		w.beside("the end", func() { _, err = c.Read(make([]byte, 1)) })
		require.Equal(t, io.EOF, err)
		testClosedConn(t, w, c)
	})
}

// testClosedConn closes c, after which every call says so.
func testClosedConn(t *testing.T, w *world, c halfConn) {
	require.NoError(t, c.CloseRead())
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Close(), net.ErrClosed)
	require.ErrorIs(t, c.CloseWrite(), net.ErrClosed)
	require.ErrorIs(t, c.SetDeadline(time.Time{}), net.ErrClosed)
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	w.endStepped()
}

func TestDetachedConnDeadlines(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
		p.Send([]byte("ab"))
		w.steps("bytes", func() bool { return w.e.Stats().BytesIn == 2 })
		c, err := h.s.Detach()
		require.NoError(t, err)
		at := w.k.Clock().Now().Add(-time.Second)
		require.NoError(t, c.SetReadDeadline(at))
		w.beside("a Read before the connection is live", func() { _, err = c.Read(make([]byte, 1)) })
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		w.steps("OnClose", h.over)
		_, err = c.Read(make([]byte, 1)) // what is unread is there, and the deadline all the same
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		n, err := c.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, c.(halfConn).CloseRead()) // drops the other
		begin := w.k.Now()
		require.NoError(t, c.SetDeadline(w.k.Clock().Now().Add(time.Second)))
		w.beside("a Read behind CloseRead", func() { _, err = c.Read(make([]byte, 1)) })
		require.ErrorIs(t, err, io.EOF)
		p.Stop(true)
		require.NoError(t, c.SetWriteDeadline(w.k.Clock().Now().Add(time.Second)))
		w.beside("a Write without room", func() { n, err = c.Write(make([]byte, 5000)) })
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, 2000, n)
		require.GreaterOrEqual(t, w.k.Now()-begin, time.Second)
		require.NoError(t, c.Close())
		p.Reset()
		w.endStepped()
	})
}

// TestDetachedRest has a stream detach that has more queued than the peer takes: the Conn sends it in front of what is
// written to it, also when it is closed at once, and a deadline only delays it.
func TestDetachedRest(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
		p.Stop(true)
		rest := bytes.Repeat([]byte("rest"), 2000)
		told := 0
		require.NoError(t, h.s.WriteNotify(rest, func(err error) { require.NoError(t, err); told++ }))
		c, err := h.s.Detach()
		require.NoError(t, err)
		require.NoError(t, c.SetWriteDeadline(w.k.Clock().Now().Add(time.Millisecond)))
		w.beside("a Write behind what is queued", func() { _, err = c.Write([]byte("late")) })
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		w.k.Advance(10 * time.Millisecond)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
		p.Stop(false)
		w.steps("the rest", func() bool { return p.Count() == len(rest) && told == 1 })
		w.beside("a Write", func() { _, err = c.Write([]byte(", end")) })
		require.NoError(t, err)
		require.NoError(t, c.Close())
		w.steps("the end", p.EOF)
		require.Equal(t, string(rest)+", end", string(p.Received()))
		require.NoError(t, p.Err())
		require.Equal(t, 1, told)
		w.endStepped()
	})
}

// TestDetachedCloseSendsTheRest has the Conn closed while the peer takes nothing: it goes on for CloseTimeout.
func TestDetachedCloseSendsTheRest(t *testing.T) {
	for _, takes := range []bool{true, false} {
		bubbles(t, func(t *testing.T, completions bool) {
			w, h, p := detachPair(t, completions, simulated.Config{SendBuffer: 1000, ReceiveBuffer: 1000})
			p.Stop(true)
			var told []error
			require.NoError(t, h.s.WriteNotify(make([]byte, 8000), func(err error) { told = append(told, err) }))
			c, err := h.s.Detach()
			require.NoError(t, err)
			require.NoError(t, c.Close())
			if takes {
				w.k.Advance(3 * time.Second)
				p.Stop(false)
			}
			w.steps("OnClose", h.over)
			require.Len(t, told, 1)
			if takes {
				require.NoError(t, told[0])
				w.steps("the end", p.EOF)
				require.Equal(t, 8000, p.Count())
			} else {
				require.ErrorIs(t, told[0], os.ErrDeadlineExceeded)
				p.Stop(false)
				w.steps("a reset", func() bool { return p.Err() != nil })
				require.Less(t, p.Count(), 8000)
			}
			w.endStepped()
		})
	}
}

// TestDetachInCallback has a callback use the Conn, which cannot wait there.
func TestDetachInCallback(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		var c net.Conn
		h := &hooks{data: func(s *session.Stream) {
			var err error
			_, _ = s.Write([]byte("one"))
			c, err = session.DetachWith(s, func() (unread, unsent []byte) { return []byte("held, "), []byte(", two") })
			require.NoError(t, err)
			_, err = c.Write([]byte(", three"))
			require.NoError(t, err)
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, backend.ErrOnLoop)
		}}
		p := w.peer(h, nil)
		p.Send([]byte("bytes"))
		w.steps("what was written", func() bool { return string(p.Received()) == "one, two, three" })
		got := make([]byte, 11)
		w.beside("a Read", func() { _, _ = io.ReadFull(c, got) })
		require.Equal(t, "held, bytes", string(got))
		_, err := session.DetachWith(h.s, nil)
		require.Error(t, err)
		require.NoError(t, c.Close())
		w.endStepped()
	})
}

// TestDetachLayerPanics has the function of a layer panic: the Conn fails with that, and the peer sees a reset.
func TestDetachLayerPanics(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{})
		c, err := session.DetachWith(h.s, func() (unread, unsent []byte) { panic("on purpose") })
		require.NoError(t, err)
		var failure *session.PanicError
		w.beside("a Read", func() { _, err = c.Read(make([]byte, 1)) })
		require.ErrorAs(t, err, &failure)
		_, err = c.Write([]byte("x"))
		require.ErrorAs(t, err, &failure)
		require.Equal(t, "on purpose", failure.Value)
		require.NoError(t, c.Close())
		w.steps("a reset", func() bool { return p.Err() != nil })
		w.endStepped()
	})
}

// TestAdopt has a connection become a stream, a Conn, and a stream again, without the loss of a byte.
func TestAdopt(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		_, err := w.e.Adopt(nil, &hooks{})
		require.Error(t, err)
		c, p, err := w.k.NewConn("tcp")
		require.NoError(t, err)
		_, err = w.e.Adopt(c, nil)
		require.Error(t, err)
		h := &hooks{}
		_, err = w.e.Adopt(c, h)
		require.NoError(t, err)
		_, err = c.Write(nil)
		require.NoError(t, err) // nothing is written, so that nobody asks
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		w.steps("OnOpen", h.isOpen)
		again, err := h.s.Detach()
		require.NoError(t, err)
		w.steps("OnClose", h.over)
		e := &lockedEcho{}
		_, err = w.e.Adopt(again.(syscall.Conn), e)
		require.NoError(t, err)
		p.Send([]byte("hello"))
		p.Finish()
		w.steps("an echo", p.EOF)
		require.Equal(t, "hello", string(p.Received()))
		w.endStepped()
		_, err = w.e.Adopt(c, h)
		require.Error(t, err)
	})
}
