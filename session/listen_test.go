package session

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

func (s *stage) listen(o *ListenOptions) *listener {
	s.Helper()
	l, err := s.engine.Listen("unix", "/s", BaseHandler{}, o)
	require.NoError(s, err)
	s.turn()
	return l.(*listener)
}

// accepting reports whether a driver was told to accept for the listener.
func (s *stage) accepting(l *listener) bool {
	for _, a := range l.listenSockets() {
		if !a.loop.dead.Load() && s.of(a.sock.Descriptor).accepting {
			return true
		}
	}
	return false
}

// lastErrno is above all that Linux has, asm-generic/errno.h.
const lastErrno = 140

// TestEveryErrnoOfAccept reports every errno to a listener, and looks what it does.
func TestEveryErrnoOfAccept(t *testing.T) {
	for e := syscall.Errno(1); e < lastErrno; e++ {
		s := newStage(t, 1)
		l := s.listen(nil)
		a := l.listenSockets()[0]
		require.True(t, s.accepting(l))
		s.of(a.sock.Descriptor).accepting = false // an error switches it off
		a.Accepted(backend.Descriptor{}, backend.Address{}, e)
		a.loop.StopTimer(&a.timer) // or the turn may be so late that the back-off is over
		s.turn()
		stats := l.Stats()
		assert.EqualValues(t, 1, stats.Errors, "%v", e)
		switch verdict, _ := backend.JudgeAccept(e); verdict {
		case backend.ConnectionFailed:
			assert.True(t, s.accepting(l), "%v stops the listener", e)
			assert.Zero(t, stats.Backoffs, "%v", e)
			assert.NoError(t, l.Err())
		case backend.ResourceShort:
			assert.False(t, s.accepting(l), "%v: no back-off", e)
			assert.EqualValues(t, 1, stats.Backoffs, "%v", e)
			assert.NoError(t, l.Err())
			assert.Contains(t, s.log.String(), "level=WARN")
		case backend.SocketFailed:
			s.ended(l, e)
		}
		require.NoError(t, l.Close())
		s.turn()
		s.closed(a.sock.Descriptor, "the socket")
		assert.Zero(t, s.engine.loops[0].refs, "%v: the loop is held", e)
	}
}

// ended checks a listener that has ended because of an errno.
func (s *stage) ended(l *listener, e syscall.Errno) {
	s.Helper()
	var op *net.OpError
	require.ErrorAs(s, l.Err(), &op)
	assert.Equal(s, "accept", op.Op)
	assert.Equal(s, l.Addr(), op.Addr)
	assert.ErrorIs(s, l.Err(), e)
	assert.False(s, s.accepting(l), "%v", e)
	assert.Zero(s, l.Stats().Backoffs, "%v", e)
	assert.Contains(s, s.log.String(), "level=ERROR")
	assert.NotContains(s, s.log.String(), "cannot accept;", "%v is taken for a want of resources", e)
	assert.Equal(s, 1, s.unlinked, "%v: the socket's file is left", e)
	require.NoError(s, l.Close())
	assert.ErrorIs(s, l.Err(), e, "Close hides why the listener ended")
}

// TestBackOffDoubles has the times between attempts, up to the longest and down again.
func TestBackOffDoubles(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(nil)
	a := l.listenSockets()[0]
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
		a.Accepted(backend.Descriptor{}, backend.Address{}, syscall.EMFILE)
		assert.Equal(t, want*time.Millisecond, a.delay)
		a.retry()
	}
	a.Accepted(s.connection(), backend.Address{}, nil)
	a.Accepted(backend.Descriptor{}, backend.Address{}, syscall.ENOMEM)
	assert.Equal(t, firstBackoff, a.delay, "after an accept that succeeded")
	assert.Equal(t, 1, bytes.Count(s.log.Bytes(), []byte("cannot accept")), "more than one message a second")
	_ = l.Close()
	s.turn()
}

// TestConnectionsThatKeepFailing has a security module that refuses every accept: going on at once would be a busy loop.
func TestConnectionsThatKeepFailing(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(nil)
	a := l.listenSockets()[0]
	for range longRow - 1 {
		a.Accepted(backend.Descriptor{}, backend.Address{}, syscall.EPERM)
	}
	require.Zero(t, l.Stats().Backoffs)
	a.Accepted(backend.Descriptor{}, backend.Address{}, syscall.EPERM)
	assert.EqualValues(t, 1, l.Stats().Backoffs)
	_ = l.Close()
	s.turn()
}

// TestConnectionThatCannotBeAttached is closed, counted and logged. No handler hears of it: its OnOpen never ran.
func TestConnectionThatCannotBeAttached(t *testing.T) {
	s := newStage(t, 1)
	r := &recorder{}
	made, err := s.engine.Listen("tcp", "", r, &ListenOptions{MaxConns: 1})
	require.NoError(t, err)
	l := made.(*listener)
	s.turn()
	s.refuse = syscall.ENOBUFS
	fd := s.connection()
	l.listenSockets()[0].Accepted(fd, backend.Address{}, nil)
	s.refuse = nil
	s.turn()
	assert.Empty(t, r.took())
	s.closed(fd, "the connection")
	stats := l.Stats()
	assert.EqualValues(t, 1, stats.Errors)
	assert.Zero(t, stats.Streams, "it takes the room of a stream")
	assert.Contains(t, s.log.String(), "cannot be watched")
	require.NoError(t, l.Close())
	s.turn()
	assert.Zero(t, s.engine.loops[0].refs, "the loop is held")
}

// TestStreamThatEndsWhileItsListenerFills ends the only stream between the look at the limit and the flag that asks for a
// wake-up. The listener must not sleep for ever.
func TestStreamThatEndsWhileItsListenerFills(t *testing.T) {
	for _, parks := range []bool{false, true} {
		t.Run(fmt.Sprintf("parks=%v", parks), func(t *testing.T) {
			s := newStage(t, 1)
			l := s.listen(&ListenOptions{MaxConns: 1})
			if parks {
				l.live.Store(1) // on another loop
			}
			ends := 1
			s.drivers[0].onAccept = func(on bool) {
				if !on && ends > 0 {
					ends--
					l.ended(nil)
				}
			}
			l.listenSockets()[0].Accepted(s.connection(), backend.Address{}, nil)
			s.turn()
			require.Zero(t, ends, "accepting was never switched off")
			if parks {
				assert.EqualValues(t, 1, l.Stats().Accepted, "a parked connection is forgotten")
				l.ended(nil)
				s.turn()
			}
			assert.True(t, s.accepting(l), "there is room, and the listener sleeps")
			_ = l.Close()
			s.turn()
		})
	}
}

// TestListenerThatIsPausedAsItSettles pauses a listener that was just told to go on, at the worst moment: it has looked
// already, and is telling its driver.
func TestListenerThatIsPausedAsItSettles(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(nil)
	l.PauseAccept()
	s.turn()
	require.False(t, s.accepting(l))
	s.drivers[0].onAccept = func(on bool) {
		if on {
			elsewhere(l.PauseAccept)
		}
	}
	l.ResumeAccept()
	s.turn()
	assert.False(t, s.accepting(l), "the listener has missed that it is paused")
	s.drivers[0].onAccept = nil
	l.ResumeAccept()
	s.turn()
	assert.True(t, s.accepting(l))
	_ = l.Close()
	s.turn()
}

// TestListenOnALoopThatDies has the last task of a loop listen. No task can follow there, so the listener begins on the
// other loop, and the end of the first one is none of its business.
func TestListenOnALoopThatDies(t *testing.T) {
	s := newStage(t, 2)
	first, other := s.engine.loops[0], s.engine.loops[1]
	var l *listener
	require.NoError(t, first.Post(backend.TaskFunc(func() {
		_ = first.Post(backend.TaskFunc(func() { // runs when the loop takes no more
			require.ErrorIs(t, first.Post(backend.TaskFunc(func() {})), net.ErrClosed)
			got, err := s.engine.Listen("unix", "/s", BaseHandler{}, nil)
			require.NoError(t, err)
			l = got.(*listener)
		}))
	})))
	s.kill(first, errors.New("on purpose"))
	require.NotNil(t, l)
	s.turn()
	require.NoError(t, l.Err())
	assert.True(t, s.accepting(l))
	assert.NotContains(t, s.log.String(), "goes on on another loop")
	assert.Same(t, other, l.listenSockets()[0].loop)
	assert.Equal(t, 1, other.refs)
	require.NoError(t, l.Close())
	s.turn()
	assert.Zero(t, other.refs, "the loop is held")
	assert.Empty(t, other.listening.list())
	assert.Empty(t, first.listening.list())
}

// TestCloseFreesTheParked closes a listener that has accepted more than there is room for.
func TestCloseFreesTheParked(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(&ListenOptions{MaxConns: 1})
	l.live.Store(1)
	var fds []backend.Descriptor
	for range 3 {
		fds = append(fds, s.connection())
		l.listenSockets()[0].Accepted(fds[len(fds)-1], backend.Address{}, nil)
	}
	require.Equal(t, 3, l.Stats().Parked)
	require.Equal(t, 3, s.engine.loops[0].Parked())
	require.NoError(t, l.Close())
	s.turn()
	assert.Zero(t, l.Stats().Parked)
	for _, fd := range fds {
		s.closed(fd, "a parked connection")
	}
	assert.Zero(t, l.waiting.Load())
}

// TestParkedWithoutALoop has the loop die that has parked connections, and the next one not take the socket.
func TestParkedWithoutALoop(t *testing.T) {
	for name, refuses := range map[string]func(s *stage, l *loop){
		"the engine shuts down":   func(_ *stage, l *loop) { l.draining = true },
		"the driver has no room":  func(s *stage, _ *loop) { s.refuse = syscall.ENOBUFS },
		"it dies before it looks": func(s *stage, l *loop) { s.kill(l, errors.New("as well")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 2)
			l := s.listen(&ListenOptions{MaxConns: 1})
			a := l.listenSockets()[0]
			l.live.Store(1)
			parked := s.connection()
			a.Accepted(parked, backend.Address{}, nil)
			require.Equal(t, 1, l.Stats().Parked)
			s.kill(a.loop, errors.New("on purpose"))
			b := l.listenSockets()[0]
			require.NotSame(t, a, b, "the listener has not moved")
			refuses(s, b.loop)
			s.turn()
			s.closed(a.sock.Descriptor, "the socket")
			s.closed(parked, "the parked connection")
			assert.Equal(t, backend.Closing{Reset: true}, s.of(parked).how)
			assert.Zero(t, l.Stats().Parked)
			assert.Zero(t, l.waiting.Load())
			assert.Zero(t, b.loop.refs, "the loop is held")
			_ = l.Close()
			s.turn()
		})
	}
}

// TestRejectedAreClosed has a listener that resets what is above its limit, also what came in a pause.
func TestRejectedAreClosed(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(&ListenOptions{MaxConns: 1, RejectOverLimit: true})
	l.live.Store(1)
	at, paused := s.connection(), s.connection()
	l.listenSockets()[0].Accepted(at, backend.Address{}, nil)
	s.closed(at, "a connection above the limit")
	l.PauseAccept()
	l.listenSockets()[0].Accepted(paused, backend.Address{}, nil)
	require.Equal(t, 1, l.Stats().Parked)
	l.ResumeAccept()
	s.turn()
	s.closed(paused, "a connection above the limit that came in a pause")
	assert.EqualValues(t, 2, l.Stats().Rejected)
	assert.True(t, s.accepting(l))
	_ = l.Close()
	s.turn()
}

// TestAddressThatAcceptTold has a peer of which the socket does not know the address any longer.
func TestAddressThatAcceptTold(t *testing.T) {
	s := newStage(t, 2)
	s.engine.balance = SourceHash
	l := s.listen(nil)
	loops := map[int]bool{}
	for i := range 20 {
		from := backend.Address{Kind: backend.TCPAddress, IP: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)}
		l.listenSockets()[0].Accepted(s.connection(), from, nil)
		s.turn()
		want := s.engine.choose(from)
		require.NotEmpty(t, want.streams)
		last := want.streams[len(want.streams)-1]
		assert.Equal(t, from.NetAddr(), last.RemoteAddr())
		loops[want.index] = true
	}
	assert.Len(t, loops, 2, "loops that were chosen by the address")
	for _, l := range s.engine.loops {
		l.each(func(s *Stream) { _ = s.Abort() })
	}
	_ = l.Close()
	s.turn()
}

// TestListenFails has a kernel that refuses sockets that listen.
func TestListenFails(t *testing.T) {
	s := newStage(t, 1)
	for name, o := range map[string]*ListenOptions{
		"listen": nil, "From": {From: anyConn{}}, "the backlog": {Backlog: 1}, "MaxConns": {MaxConns: -1},
		"the backlog of one": {Backlog: 1}, "its options": {From: anyConn{}, Socket: []backend.SocketOption{backend.NoDelay(true)}},
	} {
		s.refuse, s.refuseOf = syscall.EPERM, nil
		if name == "the backlog of one" || name == "its options" {
			s.refuse, s.refuseOf = nil, syscall.EPERM // when it listens already
		}
		if name == "the backlog" {
			s.refuse = nil
			o.Backlog = 1 << 20
		}
		_, err := s.engine.Listen("tcp", "192.0.2.1:1", BaseHandler{}, o)
		var op *net.OpError
		if assert.Error(t, err, name) && errors.As(err, &op) {
			assert.Equal(t, "listen", op.Op, name)
		}
		for i, f := range s.sockets {
			assert.True(t, f.closed, "%s: socket %d", name, i)
		}
	}
	assert.Len(t, s.sockets, 2)
	assert.Equal(t, 1, s.unlinked, "the file of the one that is not from elsewhere")
	assert.NoError(t, s.engine.Close())
}

// TestListenWithoutLoops has engines whose loops have all failed.
func TestListenWithoutLoops(t *testing.T) {
	s := newStage(t, 2)
	l := s.listen(nil)
	cause := errors.New("on purpose")
	first := l.listenSockets()[0].loop
	s.kill(first, cause)
	s.turn()
	require.NoError(t, l.Err())
	assert.True(t, s.accepting(l), "it does not go on on the other loop")
	other := l.listenSockets()[0].loop
	require.NotSame(t, first, other)
	again := s.listen(nil)
	assert.Same(t, other, again.listenSockets()[0].loop, "a new listener")
	s.kill(other, cause)
	for _, l := range []*listener{l, again} {
		assert.ErrorIs(t, l.Err(), cause)
		assert.NoError(t, l.Close())
	}
	assert.Equal(t, 2, s.unlinked, "the sockets' files")
	_, err := s.engine.Listen("unix", "/s", BaseHandler{}, nil)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.ErrorIs(t, err, cause)
}
