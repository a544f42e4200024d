package session

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// share has the test's listener hand out its socket.
func (s *stage) share(l *listener) {
	s.Helper()
	f, err := l.File()
	require.NoError(s, err)
	require.NoError(s, f.Close())
}

// TestCloseOfASharedListener closes one that holds connections that it has accepted, and whose driver brings one more:
// where others have the socket, all of them are served.
func TestCloseOfASharedListener(t *testing.T) {
	for name, share := range map[string]bool{"shared": true, "alone": false} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 1)
			r := &recorder{}
			made, err := s.engine.Listen("unix", "/s", r, &ListenOptions{MaxConns: 1})
			require.NoError(t, err)
			l := made.(*listener)
			s.turn()
			a := l.listenSockets()[0]
			if share {
				s.share(l)
			}
			assert.Equal(t, share, a.sock.Shared.Load(), "the driver knows")
			first, parked, late := s.connection(), s.connection(), s.connection()
			a.Accepted(first, backend.Address{}, nil)
			a.Accepted(parked, backend.Address{}, nil)
			require.Equal(t, 1, l.Stats().Parked)
			require.NoError(t, l.Close())
			require.NoError(t, s.engine.loops[0].Post(backend.TaskFunc(func() { a.Accepted(late, backend.Address{}, nil) })))
			s.turn()
			assert.Zero(t, l.Stats().Parked)
			opened := 1
			if share {
				opened = 3
			}
			assert.Equal(t, opened, strings.Count(r.took(), "open"), "calls of OnOpen")
			assert.Equal(t, opened, l.Stats().Streams)
			assert.Equal(t, !share, s.of(parked).closed, "what was parked is closed")
			assert.Equal(t, !share, s.of(late).closed, "what came late is closed")
			assert.Equal(t, !share, s.unlinked == 1, "the file is removed")
			s.closed(a.sock.Descriptor, "the socket")
			s.engine.loops[0].each(func(s *Stream) { _ = s.Abort() })
			s.turn()
			assert.Zero(t, l.Stats().Streams)
			assert.Zero(t, s.engine.loops[0].refs, "the loop is held")
		})
	}
}

// TestLateConnectionThatIsRefused comes to a shared listener that has ended, and cannot have its options.
func TestLateConnectionThatIsRefused(t *testing.T) {
	s := newStage(t, 1)
	made, err := s.engine.Listen("tcp", "", &recorder{}, &ListenOptions{Socket: []backend.SocketOption{backend.QuickAck(true)}})
	require.NoError(t, err)
	l := made.(*listener)
	s.turn()
	s.share(l)
	a := l.listenSockets()[0]
	require.NoError(t, l.Close())
	late := s.connection()
	require.NoError(t, s.engine.loops[0].Post(backend.TaskFunc(func() {
		s.refuseOf = syscall.EPERM
		a.Accepted(late, backend.Address{}, nil)
		s.refuseOf = nil
	})))
	s.turn()
	s.closed(late, "the connection")
	assert.EqualValues(t, 1, l.Stats().Errors)
}

// TestUnlinkOnClose has every way in which it is decided whether the end removes the file.
func TestUnlinkOnClose(t *testing.T) {
	for name, c := range map[string]struct {
		from bool
		do   func(s *stage, l *listener)
		want int
	}{
		"made":                    {do: func(*stage, *listener) {}, want: 1},
		"from elsewhere":          {from: true, do: func(*stage, *listener) {}},
		"made, handed out":        {do: func(s *stage, l *listener) { s.share(l) }},
		"made, handed out, again": {do: func(s *stage, l *listener) { s.share(l); assert.False(s, l.SetUnlinkOnClose(true)) }, want: 1},
		"made, left":              {do: func(s *stage, l *listener) { assert.True(s, l.SetUnlinkOnClose(false)) }},
		"from elsewhere, owned":   {from: true, do: func(s *stage, l *listener) { assert.False(s, l.SetUnlinkOnClose(true)) }, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 1)
			o := &ListenOptions{}
			if c.from {
				o.From = anyConn{}
			}
			l := s.listen(o)
			c.do(s, l)
			require.NoError(t, l.Close())
			assert.Equal(t, c.want, s.unlinked, "times that the file was removed")
			assert.False(t, l.SetUnlinkOnClose(true), "after the end")
			_ = l.Close()
			s.turn()
			assert.Equal(t, c.want, s.unlinked)
			_, err := l.File()
			assert.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

// TestFilesOfSeveralSockets has a listener with a socket for each loop.
func TestFilesOfSeveralSockets(t *testing.T) {
	s := newStage(t, 3)
	made, err := s.engine.Listen("tcp", "", BaseHandler{}, nil)
	require.NoError(t, err)
	l := made.(*listener)
	s.turn()
	_, err = l.File()
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	files, err := l.Files()
	require.NoError(t, err)
	assert.Len(t, files, 3)
	closeAll(files)
	s.refuse = syscall.EMFILE
	_, err = l.Files()
	assert.ErrorIs(t, err, syscall.EMFILE)
	s.refuse = nil
	again, err := s.engine.Listen("tcp", "", BaseHandler{}, &ListenOptions{FromAll: []syscall.Conn{anyConn{}, anyConn{}}})
	require.NoError(t, err)
	s.turn()
	files, err = again.Files()
	require.NoError(t, err)
	assert.Len(t, files, 2)
	closeAll(files)
	for name, o := range map[string]*ListenOptions{
		"none": {FromAll: []syscall.Conn{}}, "nil": {FromAll: []syscall.Conn{anyConn{}, nil}}, "both": {From: anyConn{}, FromAll: []syscall.Conn{anyConn{}}},
	} {
		_, err = s.engine.Listen("tcp", "", BaseHandler{}, o)
		assert.Error(t, err, name)
	}
	require.NoError(t, l.Close())
	require.NoError(t, again.Close())
	s.turn()
	for i, f := range s.sockets {
		assert.True(t, f.closed, "socket %d", i)
	}
}
