package session

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nothingHeld checks that a stream has nothing but itself.
func (a *actor) nothingHeld(after string) {
	a.Helper()
	assert.Nil(a, a.s.rx.in, "an inbox after %s", after)
	assert.Nil(a, a.s.tx.out, "a queue after %s", after)
	assert.Nil(a, a.s.tx.files, "files after %s", after)
	assert.True(a, a.s.tx.notify.empty(), "somebody who waits to be told after %s", after)
	assert.True(a, a.s.posts.empty(), "what was posted after %s", after)
	assert.Nil(a, a.s.own, "what is seldom needed after %s", after)
	assert.Nil(a, a.s.life.apart, "what belongs to an end after %s", after)
}

// TestStreamAtRest has a stream give back what it needed for a while.
func TestStreamAtRest(t *testing.T) {
	many := bytes.Repeat([]byte("many "), 40_000)
	for _, uses := range []map[string]func(t *testing.T, a *actor){sendsOfAStream(many), receivesOfAStream(many)} {
		for name, use := range uses {
			t.Run(name, func(t *testing.T) {
				a := newActor(t, StreamOptions{})
				a.nothingHeld("opening")
				use(t, a)
				a.turn()
				a.nothingHeld(name)
			})
		}
	}
}

// sendsOfAStream are uses of its send side, and of its socket.
func sendsOfAStream(many []byte) map[string]func(t *testing.T, a *actor) {
	return map[string]func(t *testing.T, a *actor){
		"an echo": func(t *testing.T, a *actor) {
			a.then = func(s *Stream, _ string) { _, _ = s.Write([]byte("answer")) }
			a.f.in = []byte("question")
		},
		"a burst in small writes": func(t *testing.T, a *actor) {
			a.f.room = 0
			for range 300 {
				_, err := a.s.Writev([][]byte{many[:1000], many[:1]})
				require.NoError(t, err)
			}
			a.turn()
			require.NotNil(t, a.s.tx.out)
			a.f.room = 1 << 20
		},
		"a promise that was kept": func(t *testing.T, a *actor) {
			a.f.room = 0
			require.NoError(t, a.s.WriteNotify(many[:10], func(error) {}))
			a.turn()
			a.f.room = 1 << 20
		},
		"a look at the socket": func(t *testing.T, a *actor) {
			raw, err := a.s.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(uintptr) {}))
		},
	}
}

// receivesOfAStream are uses of its receive side.
func receivesOfAStream(many []byte) map[string]func(t *testing.T, a *actor) {
	return map[string]func(t *testing.T, a *actor){
		"reading outside of OnData": func(t *testing.T, a *actor) {
			a.leave = true
			a.f.in = many
			a.turn()
			require.NotNil(t, a.s.rx.in)
			for a.s.Buffered() > 0 {
				require.NoError(t, a.s.Post(func() { _, _ = a.s.Discard(min(30_000, a.s.Buffered())) }))
				a.turn()
			}
		},
		"taking all of what waits": func(t *testing.T, a *actor) {
			a.leave = true
			a.f.in = many
			a.turn()
			b, err := a.s.Take(-1)
			require.NoError(t, err)
			b.Release()
		},
		"taking nothing": func(t *testing.T, a *actor) {
			b, err := a.s.Take(-1)
			require.NoError(t, err)
			b.Release()
		},
		"a pause with bytes": func(t *testing.T, a *actor) {
			a.s.PauseRead()
			a.f.in = []byte("meanwhile")
			a.turn()
			require.NotNil(t, a.s.rx.in)
			a.s.ResumeRead()
		},
		"reading to a writer": func(t *testing.T, a *actor) {
			a.leave = true
			a.f.in = many
			a.turn()
			_, err := a.s.WriteTo(io.Discard)
			require.NoError(t, err)
		},
	}
}
