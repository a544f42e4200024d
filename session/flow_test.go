package session

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

func TestPauseAndResume(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.s.PauseRead()
	a.f.send("one")
	a.turn()
	assert.Empty(t, a.took())
	assert.False(t, a.f.receiving, "one piece comes in a pause, and no more")
	a.f.send("two")
	a.f.eof = true
	a.turn()
	assert.Empty(t, a.took())
	elsewhere(a.s.ResumeRead)
	a.ended("data one, data two, eof, close <nil>", backend.Closing{})
}

func TestBackpressure(t *testing.T) {
	a := newActor(t, StreamOptions{HighWater: 8, LowWater: 4, WriteBufferLimit: 16})
	a.f.room = 0
	_, err := a.s.Write([]byte("12345678"))
	require.NoError(t, err)
	assert.True(t, a.s.Writable())
	_, err = a.s.Write([]byte("9"))
	require.NoError(t, err)
	assert.False(t, a.s.Writable())
	_, err = a.s.Write([]byte("12345678"))
	assert.ErrorIs(t, err, ErrWriteBufferFull)
	a.turn()
	assert.False(t, a.f.receiving, "a stream that is blocked reads")
	a.f.room = 5
	a.turn()
	assert.Equal(t, 4, a.s.Queued())
	assert.Empty(t, a.took())
	a.f.room = 1
	a.turn()
	assert.Equal(t, "writable", a.took())
	assert.True(t, a.f.receiving)
	a.f.room = plenty
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
	assert.Equal(t, "123456789", a.f.got())
}

func TestReadBufferLimit(t *testing.T) {
	a := newActor(t, StreamOptions{ReadBufferLimit: 8})
	a.leave = true
	a.f.send("12345678")
	a.turn()
	assert.False(t, a.f.receiving, "at the limit")
	a.pass(2 * stuckAfter)
	assert.Contains(t, a.log.String(), "ReadBufferLimit")
	for _, step := range []struct {
		n    int
		on   bool
		want string
	}{{4, false, "1234"}, {1, true, "5"}} {
		p, err := a.s.Next(step.n)
		require.NoError(t, err)
		assert.Equal(t, step.want, string(p))
		a.turn()
		assert.Equal(t, step.on, a.f.receiving, "%d bytes are unread", a.s.Buffered())
	}
	_, err := a.s.Peek(9)
	assert.ErrorIs(t, err, io.ErrShortBuffer)
	_, err = a.s.Take(9)
	assert.ErrorIs(t, err, io.ErrShortBuffer)
	var text strings.Builder
	n, err := a.s.WriteTo(&text)
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)
	assert.Equal(t, "678", text.String())
	_, err = a.s.Read(make([]byte, 1))
	assert.ErrorIs(t, err, ErrWouldBlock)
	require.NoError(t, a.s.Abort())
	a.took()
	a.ended("close use of closed network connection", backend.Closing{Reset: true})
	_, err = a.s.Read(make([]byte, 1))
	assert.ErrorIs(t, err, net.ErrClosed)
}

// TestDescriptorIsPinned ends a stream while somebody uses its descriptor.
func TestDescriptorIsPinned(t *testing.T) {
	a := newActor(t, StreamOptions{})
	c, err := a.s.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, c.Control(func(fd uintptr) {
		assert.EqualValues(t, a.d.FD(), fd)
		require.NoError(t, a.s.Abort())
		a.turn()
		assert.Equal(t, closed, a.s.life.phase)
		assert.False(t, a.f.closed, "the descriptor was closed under its user")
	}))
	a.took()
	a.ended("", backend.Closing{Reset: true})
	assert.ErrorIs(t, c.Control(func(uintptr) { assert.Fail(t, "after the end") }), net.ErrClosed)
	assert.ErrorIs(t, c.Read(nil), errors.ErrUnsupported)
	assert.ErrorIs(t, c.Write(nil), errors.ErrUnsupported)
}

func TestSocketOptionsOfStreams(t *testing.T) {
	a := newActor(t, StreamOptions{})
	require.NoError(t, a.s.SetSocketOption(backend.NoDelay(false)))
	assert.Equal(t, []backend.SocketOption{backend.NoDelay(false)}, a.f.options)
	o, err := a.s.SocketOption(backend.NoDelay(false))
	require.NoError(t, err)
	assert.Equal(t, backend.NoDelay(true), o, "what the kernel has")
	a.refuse = syscall.EPERM
	var op *net.OpError
	require.ErrorAs(t, a.s.SetSocketOption(backend.Mark(1)), &op)
	assert.Equal(t, "set unix local->peer: operation not permitted", op.Error())
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
	assert.ErrorIs(t, a.s.SetSocketOption(backend.Mark(1)), net.ErrClosed)
}

func TestWritesOfEveryKind(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.leave = true
	a.f.send("abcdef")
	a.turn()
	b, err := a.s.Take(3)
	require.NoError(t, err)
	assert.Equal(t, "abc", string(b.Bytes()))
	require.NoError(t, a.s.WriteBuffer(b))
	require.ErrorIs(t, a.s.WriteBuffer(b), net.ErrClosed)
	var told []string
	require.NoError(t, a.s.WriteNotify([]byte(" two"), func(err error) { told = append(told, "two") }))
	n, err := a.s.Writev(net.Buffers{[]byte(" three"), []byte(" four")})
	require.NoError(t, err)
	assert.EqualValues(t, 11, n)
	assert.Empty(t, a.f.got())
	require.NoError(t, a.s.Flush())
	assert.Equal(t, "abc two three four", a.f.got())
	a.turn()
	assert.Equal(t, []string{"two"}, told)
	a.f.room = 6
	elsewhere(func() {
		assert.NoError(t, a.s.WriteNotify([]byte(" five"), func(error) { told = append(told, "five") }))
		assert.NoError(t, a.s.Flush())
	})
	a.turn()
	rest, err := a.s.Take(-1)
	require.NoError(t, err)
	elsewhere(func() { assert.NoError(t, a.s.WriteBuffer(rest)) })
	assert.Equal(t, 2, a.s.Queued(), "one byte of the Buffer had room")
	a.f.room = plenty
	a.turn()
	assert.Equal(t, "abc two three four fivedef", a.f.got())
	assert.Equal(t, []string{"two", "five"}, told)
	assert.Error(t, a.s.WriteNotify(nil, nil))
	require.NoError(t, a.s.Close())
	a.took()
	a.ended("close <nil>", inOrder)
}

// TestWriteGathers has a callback that writes more than a stream gathers before it sends.
func TestWriteGathers(t *testing.T) {
	a := newActor(t, StreamOptions{})
	piece := strings.Repeat("x", gatherLimit/2)
	_, err := a.s.Write([]byte(piece))
	require.NoError(t, err)
	require.Empty(t, a.f.got())
	_, err = a.s.Write([]byte(piece))
	require.NoError(t, err)
	assert.Len(t, a.f.got(), gatherLimit, "64 KiB go out before the end of the turn")
	a.f.room = 0
	_, err = a.s.Write([]byte(piece + piece))
	require.NoError(t, err)
	a.f.room = plenty
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
	assert.Len(t, a.f.got(), 2*gatherLimit)
}

func TestMemoryLimit(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.engine.memory.limit = 8
	a.leave = true
	a.f.send("0123456789")
	a.turn()
	assert.False(t, a.f.receiving, "the stream holds more than there is room for")
	_, err := a.s.Discard(8)
	require.NoError(t, err)
	a.turn()
	assert.True(t, a.f.receiving)
	require.NoError(t, a.s.Close())
	a.turn()
	assert.Zero(t, a.engine.memory.held.Load())
	a.took()
	a.ended("", inOrder)
}

func TestPostsRunInOrder(t *testing.T) {
	s := newStage(t, 1)
	r := &recorder{}
	stream, err := s.engine.Adopt(anyConn{}, r)
	require.NoError(t, err)
	require.NoError(t, stream.Post(func() { r.note(stream, "early") }))
	s.turn()
	elsewhere(func() { assert.NoError(t, stream.Post(func() { r.note(stream, "later") })) })
	s.turn()
	require.NoError(t, stream.Post(func() { r.note(stream, "last") }))
	require.NoError(t, stream.Abort())
	s.turn()
	assert.Equal(t, "open, early, later, last, close use of closed network connection", r.took())
}

// TestAcceptBacksOff has a listener on a kernel without descriptors.
func TestAcceptBacksOff(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(nil)
	f := s.of(l.listenSockets()[0].sock.Descriptor)
	require.True(t, f.accepting)
	f.backlog = []any{syscall.EMFILE, syscall.EMFILE, s.connection()}
	s.turn()
	assert.False(t, f.accepting)
	s.clock.advance(firstBackoff - 1)
	s.turn()
	assert.EqualValues(t, 1, l.Stats().Backoffs, "too early")
	s.clock.advance(1)
	s.turn()
	assert.EqualValues(t, 2, l.Stats().Backoffs)
	s.clock.advance(2*firstBackoff - 1)
	s.turn()
	assert.Zero(t, l.Stats().Accepted, "too early")
	s.clock.advance(1)
	s.turn()
	assert.EqualValues(t, 1, l.Stats().Accepted)
	assert.Equal(t, 1, l.Stats().Streams)
	f.backlog = []any{syscall.ECONNABORTED, s.connection()}
	s.turn()
	assert.EqualValues(t, 2, l.Stats().Accepted, "at once behind a connection that has failed")
	assert.NoError(t, s.engine.Close())
	assert.Equal(t, 1, s.unlinked)
	for i, f := range s.sockets {
		assert.True(t, f.closed, "socket %d", i)
	}
}

// TestOptionsThatAcceptedSocketsCannotHave resets them.
func TestOptionsThatAcceptedSocketsCannotHave(t *testing.T) {
	s := newStage(t, 1)
	got, err := s.engine.Listen("unix", "/s", BaseHandler{}, &ListenOptions{Socket: []backend.SocketOption{backend.SendBuffer(1 << 10)}})
	require.NoError(t, err)
	s.turn()
	l := got.(*listener)
	f := s.of(l.listenSockets()[0].sock.Descriptor)
	good, bad := s.connection(), s.connection()
	f.backlog = []any{good}
	s.turn()
	assert.Equal(t, []backend.SocketOption{backend.SendBuffer(1 << 10)}, s.of(good).options)
	s.refuse = syscall.EPERM
	f.backlog = []any{bad}
	s.turn()
	assert.Equal(t, backend.Closing{Reset: true}, s.of(bad).how)
	assert.EqualValues(t, 1, l.Stats().Errors)
	assert.EqualValues(t, 1, l.Stats().Streams)
	assert.NoError(t, s.engine.Close())
}

// TestShutdownGivesUp has a callback that blocks, while the clock goes on.
func TestShutdownGivesUp(t *testing.T) {
	k, clock := &fakeKernel{}, newFakeClock()
	d := &sleeper{fakeDriver: &fakeDriver{fakeKernel: k}, woken: make(chan struct{}, 1)}
	e, err := New(Config{Drivers: []backend.Driver{d}, Clock: clock})
	require.NoError(t, err)
	blocked, release := make(chan struct{}), make(chan struct{})
	s, err := e.Adopt(anyConn{}, BaseHandler{})
	require.NoError(t, err)
	require.NoError(t, s.Post(func() { close(blocked); <-release }))
	<-blocked
	failed := make(chan error, 1)
	go func() { failed <- e.Close() }()
	for err = nil; err == nil; {
		clock.advance(closePatience)
		select {
		case err = <-failed:
		case <-time.After(time.Millisecond):
		}
	}
	assert.ErrorContains(t, err, "a callback of stream 1 does not return")
	close(release)
	assert.NoError(t, e.Close())
}

// TestSetHandler has the bytes that wait count as new for another handler.
func TestSetHandler(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.leave = true
	a.f.send("left")
	a.turn()
	require.Equal(t, "data left", a.took())
	assert.Panics(t, func() { a.s.SetHandler(nil) })
	next := &recorder{}
	a.s.SetHandler(next)
	a.turn()
	assert.Equal(t, "data left", next.took())
	a.s.SetValue(1)
	assert.Equal(t, 1, a.s.Value())
	require.NoError(t, a.s.Close())
	a.turn()
	assert.Equal(t, "close <nil>", next.took())
	assert.Empty(t, a.took(), "callbacks of the handler that was there before")
}

// TestNewBytesAreWhatIsDeliveredAgain has bytes come in the turn in which what is there was to be delivered again, and the
// handler has read all of that meanwhile: OnData is called for the new bytes, and not once more.
func TestNewBytesAreWhatIsDeliveredAgain(t *testing.T) {
	for name, again := range map[string]func(a *actor){
		"SetHandler": func(a *actor) { a.s.SetHandler(a.recorder) },
		"ResumeRead": func(a *actor) { a.s.PauseRead(); a.s.ResumeRead() },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor(t, StreamOptions{})
			a.leave = true
			a.then = func(_ *Stream, event string) {
				if event == "data one" {
					again(a)
					_, _ = a.s.Discard(-1)
				}
			}
			require.NoError(t, a.s.Post(func() {
				a.s.events().Received([]byte("one"))
				a.s.events().Received([]byte("two"))
			}))
			a.turn()
			assert.Equal(t, "data one, data two", a.took())
			again(a)
			a.turn()
			assert.Equal(t, "data two", a.took(), "what was left is delivered again")
			require.NoError(t, a.s.Close())
			a.ended("close <nil>", inOrder)
		})
	}
}

// TestTurnBudget has more come for a stream than one turn is to deliver.
func TestTurnBudget(t *testing.T) {
	a := newActor(t, StreamOptions{TurnBudget: 4})
	assert.True(t, a.s.events().HasTurnBudget())
	l := a.engine.loops[0]
	a.then = func(_ *Stream, event string) {
		if event == "data 1234" {
			a.f.send("5678")
			a.drivers[0].report(a.f) // in the same turn
			assert.False(t, a.s.events().HasTurnBudget())
		}
	}
	a.f.send("1234")
	_, err := l.Step(0)
	require.NoError(t, err)
	assert.Equal(t, "data 1234", a.took())
	a.turn()
	assert.Equal(t, "data 5678", a.took())
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
}

// TestNothingBeginsInAShutdown has connections that come too late.
func TestNothingBeginsInAShutdown(t *testing.T) {
	s := newStage(t, 1)
	l := s.listen(nil)
	r := &recorder{}
	late, err := s.engine.Adopt(anyConn{}, r)
	require.NoError(t, err)
	s.engine.loops[0].draining = true
	c := s.connection()
	l.listenSockets()[0].Accepted(c, backend.Address{}, nil)
	assert.Equal(t, backend.Closing{Reset: true}, s.of(c).how)
	s.turn()
	assert.Equal(t, closed, late.life.phase)
	assert.Equal(t, "close use of closed network connection", r.took())
	assert.NoError(t, s.engine.Close())
	for i, f := range s.sockets {
		assert.True(t, f.closed, "socket %d", i)
	}
}

// TestListenerWithoutRoomInTheDriver has a driver that does not take the socket.
func TestListenerWithoutRoomInTheDriver(t *testing.T) {
	s := newStage(t, 1)
	got, err := s.engine.Listen("unix", "/s", BaseHandler{}, nil)
	require.NoError(t, err)
	s.refuse = syscall.ENOBUFS
	s.turn()
	assert.ErrorIs(t, got.Err(), syscall.ENOBUFS)
	assert.NoError(t, got.Close())
	s.closed(backend.NewDescriptor(0), "the socket")
	assert.NoError(t, s.engine.Close())
}
