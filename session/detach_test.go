package session

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

func TestDetach(t *testing.T) {
	t.Run("dialing", func(t *testing.T) {
		s := newStage(t, 1)
		stream, err := s.engine.Adopt(anyConn{}, BaseHandler{})
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

// TestDetachAfterCloseWrite writes to a Conn before it is live. Behind FIN nothing can be sent, and so nothing is taken.
func TestDetachAfterCloseWrite(t *testing.T) {
	a := newActor(t, StreamOptions{})
	require.NoError(t, a.s.CloseWrite())
	c, err := a.s.Detach()
	require.NoError(t, err)
	n, err := c.Write([]byte("late"))
	assert.Zero(t, n)
	assert.ErrorIs(t, err, syscall.EPIPE)
	a.ended("close <nil>", backend.Closing{})
	require.NoError(t, c.Close())
}

func TestDetachFails(t *testing.T) { //nolint:funlen // one story, in order
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
	t.Run("the loop dies before the queue is sent", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		var told []error
		require.NoError(t, a.s.WriteNotify([]byte("not sent yet"), func(err error) { told = append(told, err) }))
		a.f.room = 0
		a.turn()
		c, err := a.s.Detach()
		require.NoError(t, err)
		a.turn()
		require.Equal(t, releasing, a.s.life.phase, "somebody waits to be told")
		require.Empty(t, told)
		a.kill(a.engine.loops[0], errors.New("on purpose"))
		require.Len(t, told, 1, "the function of WriteNotify")
		assert.ErrorContains(t, told[0], "on purpose")
		assert.Equal(t, closed, a.s.life.phase)
		assert.Equal(t, "close <nil>", a.took())
		go func() { _, _ = io.Copy(io.Discard, a.given[0]) }() // the Conn goes on
		require.NoError(t, c.Close())
	})
	t.Run("the connection fails meanwhile", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.f.room = 0
		_, err := a.s.Write([]byte("x"))
		require.NoError(t, err)
		a.turn()
		c, err := a.s.Detach()
		require.NoError(t, err)
		(*streamEvents)(a.s).Sent(0, syscall.ECONNRESET)
		require.Equal(t, detaching, a.s.life.phase, "the Conn says it, and not OnClose")
		a.ended("close <nil>", backend.Closing{})
		elsewhere(func() {
			_ = a.given[0].Close()
			_, err := c.Read(make([]byte, 1))
			assert.ErrorIs(t, err, syscall.ECONNRESET)
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

// queued detaches a stream that has this queued, and returns the Conn and its peer, which has a deadline.
func (a *actor) queued(p string) (c, peer net.Conn) {
	a.Helper()
	a.f.room = 0
	_, err := a.s.Write([]byte(p))
	require.NoError(a, err)
	a.turn()
	c, err = a.s.Detach()
	require.NoError(a, err)
	peer = a.given[0]
	require.NoError(a, peer.SetDeadline(time.Now().Add(10*time.Second)))
	return c, peer
}

// reads reads exactly that.
func (a *actor) reads(peer net.Conn, want string) {
	a.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(peer, got)
	require.NoError(a, err, "only %q has come", got[:n])
	require.Equal(a, want, string(got))
}

// A deadline that passes in the middle of what was queued leaves no hole, and nothing twice. When it is moved, the rest
// goes on by itself.
func TestDetachedDeadlineInTheMiddle(t *testing.T) {
	a := newActor(t, StreamOptions{})
	c, peer := a.queued("abcdef")
	a.turn()
	a.reads(peer, "ab")
	require.NoError(t, c.SetWriteDeadline(time.Unix(1, 0)))
	require.Eventually(t, func() bool {
		d := c.(*detached)
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.took == 2
	}, 10*time.Second, time.Millisecond, "the goroutine that sends does not count what has gone out")
	require.NoError(t, c.SetWriteDeadline(time.Time{}))
	a.reads(peer, "cdef")
	require.NoError(t, c.Close())
	_, err := peer.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	a.ended("close <nil>", backend.Closing{})
}

// What is written to a Conn on the loop, which cannot wait until it is live, goes behind what the stream had queued.
func TestDetachedEarlyWrites(t *testing.T) {
	a := newActor(t, StreamOptions{})
	c, peer := a.queued("queued")
	for _, p := range []string{", early", ", too"} {
		_, err := c.Write([]byte(p))
		require.NoError(t, err)
	}
	a.turn()
	a.reads(peer, "queued, early, too")
	elsewhere(func() {
		go func() { _, _ = c.Write([]byte(", late")) }()
		a.reads(peer, ", late")
	})
	require.NoError(t, c.Close())
	a.ended("close <nil>", backend.Closing{})
}

// Whatever the function of a layer does, the connection is handed over once, and no byte is read behind one that is lost.
func TestDetachWith(t *testing.T) {
	t.Run("without a function", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		_, err := DetachWith(a.s, nil)
		assert.ErrorIs(t, err, errNoFunction)
		require.NoError(t, a.s.Close())
		a.ended("close <nil>", inOrder)
	})
	t.Run("panic", func(t *testing.T) {
		a := newActor(t, StreamOptions{})
		a.leave = true
		a.f.send("behind what is lost")
		a.f.room = 0
		var told error
		require.NoError(t, a.s.WriteNotify([]byte("x"), func(err error) { told = err }))
		a.turn()
		a.took()
		c, err := DetachWith(a.s, func() ([]byte, []byte) { panic("on purpose") })
		require.NoError(t, err)
		a.ended("close <nil>", backend.Closing{})
		assert.ErrorContains(t, told, "on purpose", "of WriteNotify, whose bytes are lost")
		assert.Contains(t, a.log.String(), "on purpose")
		elsewhere(func() {
			_, err := c.Read(make([]byte, 1))
			var panicked *PanicError
			assert.ErrorAs(t, err, &panicked)
			_, err = c.Write([]byte("x"))
			assert.ErrorAs(t, err, &panicked)
		})
		_ = c.Close()
		stats := a.engine.Stats()
		assert.Equal(t, stats.BytesIn, stats.BytesDropped)
	})
}

// A callback that ends its goroutine while a connection is handed over ends the loop, and the Conn with it.
func TestDetachWhileCallbackExits(t *testing.T) {
	t.Run("the function of DetachWith", func(t *testing.T) {
		calls := 0
		goexit(t, func(a *actor) net.Conn {
			a.leave = true
			a.f.send("behind what is lost")
			a.turn()
			c, err := DetachWith(a.s, func() ([]byte, []byte) {
				if calls++; calls < 10 {
					runtime.Goexit()
				}
				return nil, nil
			})
			assert.NoError(t, err)
			return c
		})
		assert.Equal(t, 1, calls)
	})
	t.Run("WriteNotify, behind it", func(t *testing.T) {
		goexit(t, func(a *actor) net.Conn {
			a.f.room = 0
			assert.NoError(t, a.s.WriteNotify([]byte("x"), func(error) { runtime.Goexit() }))
			a.turn()
			c, err := a.s.Detach()
			assert.NoError(t, err)
			assert.NoError(t, a.s.loop.Post(backend.TaskFunc(func() {
				a.s.events().OnTurnEnd() // tells the driver to let go
				a.s.events().Sent(1, nil)
				a.s.events().Released()
			})))
			return c
		})
	})
}

// goexit detaches a stream whose loop a callback ends meanwhile.
func goexit(t *testing.T, detach func(*actor) net.Conn) {
	var c net.Conn
	var l *loop
	elsewhere(func() { // the goroutine ends with the loop
		a := newActor(t, StreamOptions{})
		l = a.engine.loops[0]
		c = detach(a)
		a.turn()
	})
	<-l.Done()
	_, err := c.Read(make([]byte, 1))
	assert.ErrorIs(t, err, backend.ErrGoexit)
	_ = c.Close()
}
