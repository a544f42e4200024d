package backendtest

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// detachedAndAdopted makes a Stream of a Conn that Detach has returned, while bytes wait in its socket. The end of the
// Conn, which goes on by itself, must leave them alone.
func detachedAndAdopted(e *Env) {
	c, p := e.detached(0, session.StreamOptions{})
	_, err := p.Write([]byte("first"))
	require.NoError(e, err, "write")
	b := make([]byte, 5)
	_, err = c.Read(b)
	require.NoError(e, err, "read")
	_, err = p.Write([]byte("second"))
	require.NoError(e, err, "write")
	h := NewHooks()
	h.env(e)
	h.Open = func(s *session.Stream) { s.PauseRead() }
	s, err := e.Under().Adopt(c.(syscall.Conn), h)
	require.NoError(e, err, "adopt")
	_, err = c.Read(b)
	require.Error(e, err, "a read of the Conn, which is the stream's now")
	h.Opened()
	time.Sleep(moment) // the Conn has had time to end
	s.ResumeRead()
	e.Eventually(func() bool { return h.Len() == 6 }, "the bytes that waited")
	_, err = s.Write([]byte("third"))
	require.NoError(e, err, "write")
	require.Equal(e, "third", string(e.ReadAll(p, 5)), "what the peer reads")
}

// adoptedWithUnread makes a Stream of a Conn that has bytes in front of its socket, and is not live yet.
func adoptedWithUnread(e *Env) {
	h := NewHooks()
	h.Data = nothing
	s, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write([]byte("unread "))
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(s) == 7 }, "the bytes that nobody reads")
	c, err := s.Detach()
	require.NoError(e, err)
	again := NewHooks()
	again.env(e)
	began := 0
	again.Open = func(s *session.Stream) { began = s.Buffered() }
	_, err = e.Under().Adopt(c.(syscall.Conn), again)
	require.NoError(e, err)
	h.closedWith(nil)
	e.sendAndFinish(p, []byte("and then"))
	again.closedWith(nil)
	again.gotAll([]byte("unread and then"))
	assert.Equal(e, 7, began, "what OnOpen finds")
	assert.ErrorIs(e, c.Close(), net.ErrClosed)
}

// adoptedWithQueue makes a Stream of a Conn that has bytes to send, of the stream that it was and of its own, with FIN
// behind them or without. Whoever waits for them is told.
func adoptedWithQueue(e *Env) {
	for _, fin := range []bool{false, true} {
		h := NewHooks()
		h.Data = nothing
		s, p := e.Pair(h, session.StreamOptions{})
		e.small(s)
		told := make(chan error, 1)
		require.NoError(e, s.WriteNotify(Pattern(someFull), func(err error) { told <- err }))
		c, err := s.Detach()
		require.NoError(e, err)
		if fin {
			require.NoError(e, c.(interface{ CloseWrite() error }).CloseWrite())
		}
		again := NewHooks()
		again.env(e)
		s, err = e.Under().Adopt(c.(syscall.Conn), again)
		require.NoError(e, err)
		want := Pattern(someFull)
		n, err := s.Write([]byte("more"))
		if fin {
			require.ErrorIs(e, err, net.ErrClosed, "Write behind CloseWrite")
		} else {
			require.NoError(e, err)
			want = append(want, "more"[:n]...)
			require.NoError(e, s.CloseWrite())
		}
		assert.Empty(e, told, "the peer has not read all of it")
		readOn(p).gotAll(e, want)
		require.NoError(e, arrives(e, told))
		h.closedWith(nil)
		assert.Equal(e, s.Stats().BytesQueued, s.Stats().BytesSent)
		e.sendAndFinish(p, []byte("the other way"))
		again.closedWith(nil)
		again.gotAll([]byte("the other way"))
	}
}

// adoptedInCallbacks calls Adopt where it cannot wait for the Conn. The Conn is as it was.
func adoptedInCallbacks(e *Env) {
	h := NewHooks()
	conns := make(chan net.Conn, 1)
	h.Data = func(s *session.Stream) {
		_, _ = s.Write([]byte("answer"))
		c, err := s.Detach()
		if !assert.NoError(e, err) {
			return
		}
		_, err = e.Under().Adopt(c.(syscall.Conn), NewHooks())
		assert.ErrorIs(e, err, errors.ErrUnsupported)
		conns <- c
	}
	_, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write([]byte("request"))
	require.NoError(e, err)
	c := arrives(e, conns)
	e.reads(c, []byte("request"), "of the Conn")
	require.NoError(e, c.Close())
	readOn(p).gotAll(e, []byte("answer"))
	h.closedWith(nil)
	_, err = e.Under().Adopt(c.(syscall.Conn), NewHooks())
	assert.Error(e, err, "Adopt of a closed Conn")
}

// notAdopted calls Adopt of a Transport that has ended. The Conn goes on with all that it holds.
func notAdopted(e *Env) {
	h := NewHooks()
	h.Data = nothing
	s, p := e.Pair(h, session.StreamOptions{})
	e.small(s)
	_, err := s.Write(Pattern(someFull))
	require.NoError(e, err)
	_, err = p.Write([]byte("unread"))
	require.NoError(e, err)
	c, err := s.Detach()
	require.NoError(e, err)
	ended := e.Open(nil)
	require.NoError(e, ended.Close())
	require.NoError(e, c.SetWriteDeadline(time.Now().Add(patience)))
	for range 3 {
		_, err = ended.Adopt(c.(syscall.Conn), NewHooks())
		require.ErrorIs(e, err, net.ErrClosed)
	}
	e.reads(c, []byte("unread"), "of the Conn")
	r := readOn(p)
	_, err = c.Write([]byte("more"))
	require.NoError(e, err)
	require.NoError(e, c.Close())
	r.gotAll(e, append(Pattern(someFull), "more"...))
	h.closedWith(nil)
}
