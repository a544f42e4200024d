package backendtest

import (
	"syscall"
	"time"

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
