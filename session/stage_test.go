package session

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// stage is a caller-driven engine on a fakeKernel, whose loops run in turn on the test's goroutine.
type stage struct {
	*testing.T
	*fakeKernel
	engine  *Engine
	clock   *fakeClock
	drivers []*fakeDriver
	log     bytes.Buffer
}

func newStage(t *testing.T, loops int) *stage {
	t.Helper()
	return newStageWith(t, loops, nil)
}

// newStageWith is newStage of an engine with changed options.
func newStageWith(t *testing.T, loops int, change func(*Config)) *stage {
	t.Helper()
	s := &stage{T: t, fakeKernel: &fakeKernel{}, clock: newFakeClock()}
	c := Config{
		CallerDriven: true, Balance: ReusePort, Clock: s.clock, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	for range loops {
		d := &fakeDriver{fakeKernel: s.fakeKernel}
		s.drivers = append(s.drivers, d)
		c.Drivers = append(c.Drivers, d)
	}
	if change != nil {
		change(&c)
	}
	e, err := New(c)
	require.NoError(t, err)
	s.engine = e
	for _, l := range e.loops {
		require.NoError(t, l.Bind())
	}
	return s
}

// turn has every loop that lives do what it has to.
func (s *stage) turn() {
	s.Helper()
	for range 3 {
		for _, l := range s.engine.loops {
			if !l.dead.Load() {
				_, err := l.Step(0)
				require.NoError(s, err)
			}
		}
	}
}

// pass has time pass in small steps, with turns between them.
func (s *stage) pass(d time.Duration) {
	s.Helper()
	for range 20 {
		s.clock.advance(d / 20)
		s.turn()
	}
}

// kill ends a loop as a failed driver does.
func (s *stage) kill(l *loop, err error) {
	s.Helper()
	l.Fail(err)
	_, stepErr := l.Step(0)
	require.ErrorIs(s, stepErr, err)
}

// connection returns a socket that passes for one that was accepted.
func (s *stage) connection() backend.Descriptor {
	f, d := s.socket()
	f.peer = fakeAddress("peer")
	return d
}

func (s *stage) closed(d backend.Descriptor, what string) {
	s.Helper()
	assert.True(s, s.of(d).closed, "%s is still open", what)
}

// elsewhere runs fn on another goroutine, and waits for it.
func elsewhere(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// recorder notes its callbacks, and reads all that comes.
type recorder struct {
	BaseHandler
	events []string
	leave  bool // bytes unread
	then   func(s *Stream, event string)
}

func (r *recorder) note(s *Stream, event string) {
	r.events = append(r.events, event)
	if r.then != nil {
		r.then(s, event)
	}
}

func (r *recorder) OnOpen(s *Stream) { r.note(s, "open") }

func (r *recorder) OnData(s *Stream) {
	p, _ := s.Peek(-1)
	event := "data " + string(p)
	if !r.leave {
		_, _ = s.Discard(-1)
	}
	r.note(s, event)
}

func (r *recorder) OnEOF(s *Stream) { r.note(s, "eof") }

func (r *recorder) OnWritable(s *Stream) { r.note(s, "writable") }

func (r *recorder) OnDrain(s *Stream) { r.note(s, "drain") }

func (r *recorder) OnClose(s *Stream, err error) { r.note(s, fmt.Sprintf("close %v", err)) }

// took returns what was noted since the last call.
func (r *recorder) took() string {
	all := strings.Join(r.events, ", ")
	r.events = nil
	return all
}

// actor is an open stream on a stage, with the kernel's side of it.
type actor struct {
	*stage
	*recorder
	s *Stream
	f *fakeSocket
	d backend.Descriptor
}

func newActor(t *testing.T, o StreamOptions) *actor {
	t.Helper()
	a := &actor{stage: newStage(t, 1), recorder: &recorder{}}
	a.engine.defaults = o
	s, err := a.engine.Adopt(anyConn{}, a.recorder)
	require.NoError(t, err)
	a.s = s
	require.Equal(t, dialing, s.life.phase)
	a.turn()
	require.Equal(t, "open", a.took())
	require.Equal(t, open, s.life.phase)
	a.d = s.fd
	a.f = a.of(s.fd)
	return a
}

// anyConn is a syscall.Conn for a kernel that does not look at it.
type anyConn struct{ syscall.Conn }

// ended checks that the stream has ended in order, and how.
func (a *actor) ended(events string, how backend.Closing) {
	a.Helper()
	a.turn()
	assert.Equal(a, closed, a.s.life.phase)
	assert.Equal(a, events, a.took())
	assert.True(a, a.f.closed, "the descriptor is open")
	assert.Equal(a, how, a.f.how)
	assert.Zero(a, a.engine.loops[0].refs, "the loop is held")
	_, err := a.s.Write([]byte("late"))
	assert.ErrorIs(a, err, net.ErrClosed)
	for name, fn := range map[string]func() error{
		"CloseWrite": a.s.CloseWrite, "Flush": a.s.Flush, "Post": func() error { return a.s.Post(func() {}) },
		"Detach":      func() error { _, err := a.s.Detach(); return err },
		"SyscallConn": func() error { _, err := a.s.SyscallConn(); return err },
	} {
		assert.ErrorIs(a, fn(), net.ErrClosed, name)
	}
	assert.NoError(a, a.s.Close())
	assert.NoError(a, a.s.Abort())
	a.turn()
	assert.Empty(a, a.took(), "callbacks after OnClose")
}

// inOrder is how a stream closes that nobody reset.
var inOrder = backend.Closing{Discard: defaultReadBufferLimit}
