package session

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// TestReadBufferLimitOfAnySize reads a full stream byte by byte. It goes on below half of its limit, odd ones included.
func TestReadBufferLimitOfAnySize(t *testing.T) {
	for limit := 1; limit <= 9; limit++ {
		a := newActor(t, StreamOptions{ReadBufferLimit: limit})
		a.leave = true
		a.f.send(strings.Repeat("x", limit))
		a.turn()
		require.False(t, a.f.receiving, "at a limit of %d", limit)
		for left := limit - 1; left >= 0; left-- {
			_, err := a.s.Discard(1)
			require.NoError(t, err)
			a.turn()
			assert.Equal(t, 2*left < limit, a.f.receiving, "with %d of %d bytes unread", left, limit)
		}
		require.NoError(t, a.s.Close())
		a.took()
		a.ended("close <nil>", backend.Closing{Discard: limit})
	}
}

// TestReadMeanwhile has somebody read what came in a pause, before the handler is called for it.
func TestReadMeanwhile(t *testing.T) {
	for name, resume := range map[string]func(a *actor){
		"here":      func(a *actor) { a.s.ResumeRead() },
		"elsewhere": func(a *actor) { elsewhere(a.s.ResumeRead) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor(t, StreamOptions{})
			a.s.PauseRead()
			a.f.send("read meanwhile")
			a.turn()
			p, err := a.s.Next(-1)
			require.NoError(t, err)
			require.Equal(t, "read meanwhile", string(p))
			resume(a)
			a.turn()
			assert.Empty(t, a.took(), "there is nothing new")
			a.f.send("new")
			a.turn()
			assert.Equal(t, "data new", a.took())
			require.NoError(t, a.s.Close())
			a.ended("close <nil>", inOrder)
		})
	}
}

// TestFailedStreamKeepsItsLimit has the kernel hold more of a connection that has failed than the stream may hold unread.
func TestFailedStreamKeepsItsLimit(t *testing.T) {
	const limit, piece = 64 << 10, 64 << 10
	a := newActor(t, StreamOptions{ReadBufferLimit: limit, TurnBudget: 1 << 30})
	a.leave = true
	most := 0
	a.then = func(s *Stream, _ string) {
		most = max(most, s.Buffered())
		a.events = nil
	}
	a.f.receiving = false
	a.f.in = bytes.Repeat([]byte("x"), 16*piece)
	a.f.failure = syscall.ECONNRESET
	_, err := a.s.Write([]byte("x"))
	require.NoError(t, err)
	a.ended("", backend.Closing{Reset: true})
	assert.LessOrEqual(t, most, limit+piece, "bytes unread of a limit of %d", limit)
	assert.GreaterOrEqual(t, most, limit)
}

// TestQueueAboveTheBudget has more pieces queued than one send takes, and more bytes than one turn sends.
func TestQueueAboveTheBudget(t *testing.T) {
	const pieces = 20 * backend.MaxVector
	a := newActor(t, StreamOptions{TurnBudget: 8})
	a.leave = true
	var want strings.Builder
	for i := range pieces {
		want.WriteByte(byte('a' + i%26))
	}
	a.f.send(want.String())
	a.turn()
	for range pieces {
		b, err := a.s.Take(1)
		require.NoError(t, err)
		require.NoError(t, a.s.WriteBuffer(b))
	}
	a.turn()
	assert.Less(t, len(a.f.got()), pieces, "one turn sends everything, so that nothing is tested")
	for range 10 {
		a.turn()
	}
	assert.Equal(t, want.String(), a.f.got())
	require.NoError(t, a.s.Close())
	a.took()
	a.ended("close <nil>", inOrder)
}
