package session

import (
	"errors"
	"fmt"
	"net"
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
	now := a.clock.Now()
	assert.Equal(t, StreamStats{BytesIn: 5, BytesQueued: 33, BytesSent: 33, Opened: now, LastRead: now, LastWrite: now}, a.s.Stats())
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
}

func TestStreamsTimeOut(t *testing.T) {
	t.Run("Close of a peer that takes a byte, and then nothing", func(t *testing.T) {
		a := newActor(t, StreamOptions{CloseTimeout: time.Second})
		a.f.room = 1
		_, err := a.s.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, a.s.Close())
		for range 3 {
			a.pass(time.Second / 2)
			require.Equal(t, closing, a.s.life.phase)
			a.f.room = 1
		}
		a.pass(time.Second / 2)
		require.Equal(t, closing, a.s.life.phase)
		a.pass(2 * time.Second)
		a.ended("close i/o timeout", backend.Closing{Reset: true})
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
		stream, err := s.engine.Adopt(anyConn{}, r)
		require.NoError(t, err)
		s.refuse = syscall.ENOBUFS
		s.turn()
		assert.Equal(t, closed, stream.life.phase)
		assert.Equal(t, "close open unix local->peer: open: no buffer space available", r.took())
		s.closed(backend.NewDescriptor(0), "the socket")
	})
}
