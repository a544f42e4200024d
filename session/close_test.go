package session

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

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
		assert.EqualValues(t, 4, a.s.dropped())
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
