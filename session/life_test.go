package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

var phases = []phase{dialing, open, closing, detaching, ending, releasing, closed}

// TestMoves has every move of a phase to another: those of the drawing in life.go are made, all others panic and change
// nothing.
func TestMoves(t *testing.T) {
	legal := map[string]bool{}
	for _, m := range []string{
		"dialing open", "dialing ending", "open closing", "open detaching", "open ending", "closing ending",
		"detaching releasing", "ending releasing", "ending closed", "releasing closed",
	} {
		legal[m] = true
	}
	for _, from := range phases {
		for _, to := range phases {
			move := fmt.Sprint(from, " ", to)
			t.Run(move, func(t *testing.T) {
				s := &Stream{life: life{phase: from}}
				if legal[move] {
					s.life.move(to)
					assert.Equal(t, to, s.life.phase)
					return
				}
				assert.PanicsWithValue(t, fmt.Sprintf("tandem: a stream cannot go from phase %v to %v", from, to),
					func() { s.life.move(to) })
				assert.Equal(t, from, s.life.phase)
			})
		}
	}
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

func (r *recorder) OnEOF(s *Stream)              { r.note(s, "eof") }
func (r *recorder) OnWritable(s *Stream)         { r.note(s, "writable") }
func (r *recorder) OnDrain(s *Stream)            { r.note(s, "drain") }
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
	s, err := a.engine.Adopt(nil2{}, a.recorder)
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

// nil2 is a syscall.Conn for a kernel that does not look at it.
type nil2 struct{ syscall.Conn }

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

func TestStreamReadsAndWrites(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.f.send("hello")
	a.turn()
	assert.Equal(t, "data hello", a.took())
	_, err := a.s.Write([]byte("on "))
	require.NoError(t, err)
	assert.Empty(t, a.f.got(), "a write on the loop waits for the end of the turn")
	_, err = a.s.Write([]byte("the loop"))
	require.NoError(t, err)
	a.turn()
	assert.Equal(t, "on the loop", a.f.got())
	elsewhere(func() {
		_, err := a.s.Write([]byte(", elsewhere"))
		assert.NoError(t, err)
		_, err = a.s.Writev(net.Buffers{[]byte(", in"), []byte(" pieces")})
		assert.NoError(t, err)
	})
	assert.Equal(t, "on the loop, elsewhere, in pieces", a.f.got(), "a write elsewhere goes out at once")
	assert.Equal(t, StreamStats{BytesQueued: 33, BytesSent: 33}, a.s.Stats())
	require.NoError(t, a.s.Close())
	assert.Equal(t, closing, a.s.life.phase)
	a.ended("close <nil>", inOrder)
}

func TestStreamsEnd(t *testing.T) {
	t.Run("the peer finishes", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.send("all")
		a.f.eof = true
		a.turn()
		a.ended("data all, eof, close <nil>", backend.Closing{})
	})
	t.Run("half close, then Close", func(t *testing.T) {
		a := newActor(t, StreamOptions{AllowHalfClose: true})
		a.f.eof = true
		a.turn()
		require.Equal(t, "eof", a.took())
		require.Equal(t, open, a.s.life.phase)
		_, err := a.s.Write([]byte("still"))
		require.NoError(t, err)
		require.NoError(t, a.s.CloseWrite())
		_, err = a.s.Write([]byte("not any more"))
		assert.ErrorIs(t, err, net.ErrClosed)
		a.turn()
		assert.Equal(t, "still", a.f.got())
		assert.True(t, a.f.fin)
		require.Equal(t, open, a.s.life.phase)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", backend.Closing{})
	})
	t.Run("Close sends what is queued first", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.room = 3
		_, err := a.s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, a.s.Close())
		a.turn()
		assert.Equal(t, closing, a.s.life.phase)
		assert.Equal(t, 2, a.s.Queued())
		a.f.send("nobody reads this")
		a.f.room = plenty
		a.ended("close <nil>", inOrder)
		assert.Equal(t, "hello", a.f.got())
	})
	t.Run("Close of a peer that takes nothing", func(t *testing.T) {
		a := newActor(t, StreamOptions{CloseTimeout: time.Second})
		a.f.room = 3
		_, err := a.s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, a.s.Close())
		a.pass(time.Second - 1)
		require.Equal(t, closing, a.s.life.phase)
		a.pass(time.Second)
		a.ended("close i/o timeout", backend.Closing{Reset: true})
	})
}

func TestStreamsEndWithAReset(t *testing.T) {
	t.Run("Abort", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.room = 0
		_, err := a.s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, a.s.Abort())
		assert.Equal(t, ending, a.s.life.phase)
		a.ended("close use of closed network connection", backend.Closing{Reset: true})
	})
	t.Run("Abort elsewhere, while it closes", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.room = 0
		_, err := a.s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, a.s.Close())
		a.turn()
		elsewhere(func() { assert.NoError(t, a.s.AbortWith(errors.New("on purpose"))) })
		assert.Equal(t, ending, a.s.life.phase)
		a.ended("close on purpose", backend.Closing{Reset: true})
	})
	t.Run("a panic", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.then = func(_ *Stream, event string) {
			if event == "data x" {
				panic("on purpose")
			}
		}
		a.f.send("x")
		a.ended("data x, close panic in a callback: on purpose", backend.Closing{Reset: true})
	})
	t.Run("the loop dies", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.kill(a.engine.loops[0], errors.New("on purpose"))
		assert.Equal(t, closed, a.s.life.phase)
		assert.Equal(t, "close read unix local->peer: loop 0 has ended: on purpose", a.took())
		assert.Equal(t, backend.Closing{Reset: true}, a.f.how)
	})
	t.Run("Close of the engine", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		require.NoError(t, a.engine.Close())
		assert.Equal(t, "drain, close use of closed network connection", a.took())
		assert.True(t, a.f.closed)
	})
}

// failed is the event of a stream whose peer has reset it, as it made a call.
func failed(op string) string {
	return "close " + op + " unix local->peer: " + op + ": connection reset by peer"
}

func TestStreamsFail(t *testing.T) {
	t.Run("as they receive", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.send("before ")
		a.turn()
		a.f.failure = syscall.ECONNRESET
		a.ended("data before , "+failed("read"), backend.Closing{})
	})
	t.Run("as they send", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.receiving = false // the driver has not noticed
		a.f.failure = syscall.ECONNRESET
		_, err := a.s.Write([]byte("x"))
		require.NoError(t, err)
		a.ended(failed("write"), backend.Closing{Reset: true})
	})
	t.Run("as they send elsewhere, with bytes in the kernel", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.receiving = false
		a.f.failure = syscall.ECONNRESET
		a.f.in = []byte("rest")
		elsewhere(func() {
			_, err := a.s.Write([]byte("x"))
			assert.NoError(t, err)
		})
		require.Equal(t, ending, a.s.life.phase)
		a.ended("data rest, "+failed("write"), backend.Closing{Reset: true})
	})
	t.Run("while they wait for room", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.room = 0
		var told error
		require.NoError(t, a.s.WriteNotify([]byte("x"), func(err error) { told = err }))
		a.turn()
		require.NoError(t, told)
		a.f.receiving = false
		a.f.failure = syscall.ECONNRESET
		a.ended(failed("write"), backend.Closing{Reset: true})
		assert.ErrorIs(t, told, syscall.ECONNRESET)
	})
}

func TestStreamsFailUnseen(t *testing.T) {
	t.Run("in a pause", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.s.PauseRead()
		a.f.send("held")
		a.turn()
		require.Empty(t, a.took())
		require.False(t, a.f.receiving)
		a.f.failure = syscall.ECONNRESET
		a.turn()
		a.ended(failed("read"), backend.Closing{})
	})
	t.Run("as they are attached", func(t *testing.T) {
		s := newStage(t, 1)
		r := &recorder{}
		stream, err := s.engine.Adopt(nil2{}, r)
		require.NoError(t, err)
		s.refuse = syscall.ENOBUFS
		s.turn()
		assert.Equal(t, closed, stream.life.phase)
		assert.Equal(t, "close open unix local->peer: open: no buffer space available", r.took())
		s.closed(backend.NewDescriptor(0), "the socket")
	})
}

// TestStagedClose has the last stage of CloseInStages: FIN, and what comes then is dropped.
func TestStagedClose(t *testing.T) {
	begin := func(t *testing.T) *actor {
		a := newActor(t, StreamOptions{})
		_, err := a.s.Write([]byte("answer"))
		require.NoError(t, err)
		require.NoError(t, CloseInStages(a.s))
		a.turn()
		require.Equal(t, closing, a.s.life.phase)
		require.Equal(t, "answer", a.f.got())
		require.True(t, a.f.fin)
		return a
	}
	t.Run("until the peer finishes", func(t *testing.T) {
		a := begin(t)
		a.f.send("more")
		a.turn()
		require.Equal(t, closing, a.s.life.phase)
		a.f.eof = true
		a.ended("close <nil>", backend.Closing{})
		assert.EqualValues(t, 4, a.s.rx.discarded)
	})
	t.Run("until the peer is silent", func(t *testing.T) {
		a := begin(t)
		a.pass(silentStage * 9 / 10)
		require.Equal(t, closing, a.s.life.phase)
		a.pass(silentStage)
		a.ended("close <nil>", inOrder)
	})
	t.Run("as long as the peer goes on, at most", func(t *testing.T) {
		a := begin(t)
		for range 9 {
			a.f.send("more")
			a.pass(silentStage / 2)
		}
		a.ended("close <nil>", inOrder)
	})
	t.Run("of a peer that has had its time", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.s.closeWith(errors.New("too late"), true)
		for range 3 {
			a.f.send("more")
			a.pass(silentStage / 2)
		}
		a.ended("close too late", inOrder)
	})
	t.Run("because of the peer", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.s.closeWith(errors.New("not a message"), false)
		a.turn()
		require.True(t, a.f.fin)
		a.f.eof = true
		a.ended("close not a message", backend.Closing{})
	})
}

func TestTimeouts(t *testing.T) {
	t.Run("IdleTimeout", func(t *testing.T) {
		a := newActor(t, StreamOptions{IdleTimeout: time.Minute})
		a.pass(40 * time.Second)
		a.f.send("x")
		a.pass(40 * time.Second)
		_, err := a.s.Write([]byte("y"))
		require.NoError(t, err)
		a.pass(40 * time.Second)
		require.Equal(t, "data x", a.took())
		a.pass(40 * time.Second)
		a.ended("close i/o timeout", backend.Closing{})
	})
	t.Run("a write elsewhere counts", func(t *testing.T) {
		a := newActor(t, StreamOptions{IdleTimeout: time.Minute})
		a.pass(40 * time.Second)
		elsewhere(func() { _, _ = a.s.Write([]byte("y")) })
		a.pass(40 * time.Second)
		require.Equal(t, open, a.s.life.phase)
		a.pass(40 * time.Second)
		a.ended("close i/o timeout", backend.Closing{})
	})
	t.Run("ReadIdleTimeout", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.s.SetReadIdleTimeout(time.Minute)
		a.pass(50 * time.Second)
		_, err := a.s.Write([]byte("y"))
		require.NoError(t, err)
		a.pass(20 * time.Second)
		a.ended("close i/o timeout", backend.Closing{})
	})
	t.Run("HalfCloseTimeout", func(t *testing.T) {
		a := newActor(t, StreamOptions{AllowHalfClose: true, HalfCloseTimeout: time.Minute})
		a.pass(time.Hour)
		a.f.eof = true
		a.turn()
		a.pass(50 * time.Second)
		require.Equal(t, "eof", a.took())
		a.pass(20 * time.Second)
		a.ended("close i/o timeout", backend.Closing{})
	})
	t.Run("After and Every", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.s.After(time.Second, func() { a.note(a.s, "after") })
		stopped := a.s.After(time.Second, func() { a.note(a.s, "stopped") })
		every := a.s.Every(time.Minute, func() { a.note(a.s, "every") })
		assert.True(t, stopped.Stop())
		a.pass(3 * time.Minute)
		assert.Equal(t, "after, every, every, every", a.took())
		assert.True(t, every.Stop())
		a.pass(3 * time.Minute)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	})
}

func TestDetach(t *testing.T) {
	t.Run("dialing", func(t *testing.T) {
		s := newStage(t, 1)
		stream, err := s.engine.Adopt(nil2{}, BaseHandler{})
		require.NoError(t, err)
		_, err = stream.Detach()
		assert.ErrorIs(t, err, syscall.ENOTCONN)
		s.turn()
		require.NoError(t, stream.Close())
		s.turn()
	})
	t.Run("open", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.leave = true
		a.f.send("unread")
		a.turn()
		require.Equal(t, "data unread", a.took())
		a.f.room = 0
		var told []any
		require.NoError(t, a.s.WriteNotify([]byte("rest"), func(err error) { told = append(told, err) }))
		a.turn()
		c, err := a.s.Detach()
		require.NoError(t, err)
		assert.Equal(t, detaching, a.s.life.phase)
		_, err = a.s.Detach()
		assert.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, a.s.Abort(), "the connection is the Conn's")
		a.turn()
		require.Equal(t, releasing, a.s.life.phase, "somebody waits to be told")
		got := make([]byte, 4)
		_, err = io.ReadFull(a.given[0], got)
		require.NoError(t, err)
		assert.Equal(t, "rest", string(got))
		elsewhere(func() {
			p := make([]byte, 6)
			_, err := io.ReadFull(c, p)
			assert.NoError(t, err)
			assert.Equal(t, "unread", string(p))
		})
		for a.s.life.phase != closed { // as soon as the goroutine that sends has said so
			a.turn()
		}
		assert.Equal(t, []any{nil}, told)
		a.ended("close <nil>", backend.Closing{})
		require.NoError(t, c.Close())
	})
}

func TestDetachFails(t *testing.T) {
	t.Run("without a descriptor to spare", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.refuse = syscall.EMFILE
		_, err := a.s.Detach()
		assert.ErrorIs(t, err, syscall.EMFILE)
		assert.Equal(t, open, a.s.life.phase)
		a.refuse = nil
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	})
	t.Run("the loop dies meanwhile", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		c, err := a.s.Detach()
		require.NoError(t, err)
		a.kill(a.engine.loops[0], errors.New("on purpose"))
		assert.Equal(t, closed, a.s.life.phase)
		assert.Equal(t, "close <nil>", a.took())
		elsewhere(func() {
			_, err := c.Read(make([]byte, 1))
			assert.ErrorContains(t, err, "on purpose")
		})
		_ = c.Close()
	})
	t.Run("closing", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		require.NoError(t, a.s.Close())
		_, err := a.s.Detach()
		assert.ErrorIs(t, err, net.ErrClosed)
		a.ended("close <nil>", inOrder)
	})
}

func TestDetachedDeadlines(t *testing.T) {
	t.Run("follow the clock", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		c, err := a.s.Detach()
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(a.clock.Now().Add(time.Minute)))
		failed := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			failed <- err
		}()
		for waits := false; !waits; { // for the deadline
			a.clock.mu.Lock()
			waits = len(a.clock.timers) > 0
			a.clock.mu.Unlock()
		}
		a.clock.advance(time.Minute)
		assert.ErrorIs(t, <-failed, os.ErrDeadlineExceeded)
		a.ended("close <nil>", backend.Closing{})
		_ = c.Close()
	})
}
