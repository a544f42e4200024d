package session

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

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

// TestNoTimerAfterAbort aborts a stream that has just failed, which is too late to change how it ends.
func TestNoTimerAfterAbort(t *testing.T) {
	a := newActor(t, StreamOptions{})
	a.s.After(time.Second, func() {
		a.s.failed(os.ErrDeadlineExceeded)
		require.NoError(t, a.s.Abort())
	})
	a.s.After(time.Second, func() { a.note(a.s, "after") })
	a.pass(2 * time.Second)
	a.ended("close i/o timeout", backend.Closing{})
}
