package session

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// atTimer runs fn on the loop in a timer: the turn ends then before a task is run that fn has posted.
func (s *stage) atTimer(fn func()) {
	s.Helper()
	l := s.engine.loops[0]
	l.StartTimer(&backend.Timer{Fire: fn}, time.Millisecond)
	s.clock.advance(time.Millisecond)
	s.turn()
}

// TestAdoptedStreamEndsBeforeItsSocketComes closes a stream in the turn in which it was adopted. Its socket comes later.
func TestAdoptedStreamEndsBeforeItsSocketComes(t *testing.T) {
	for name, end := range map[string]func(*Stream) error{"close": (*Stream).Close, "abort": (*Stream).Abort} {
		t.Run(name, func(t *testing.T) {
			s, r := newStage(t, 1), &recorder{}
			ran := 0
			s.atTimer(func() {
				a, err := s.engine.Adopt(anyConn{}, r)
				require.NoError(t, err)
				require.NoError(t, a.Post(func() { ran++ }))
				require.NoError(t, end(a))
			})
			assert.Equal(t, "close use of closed network connection", r.took())
			assert.Equal(t, 1, ran)
			require.Len(t, s.sockets, 1)
			assert.True(t, s.sockets[0].closed, "the descriptor is open")
			assert.Nil(t, s.sockets[0].sock, "the driver has it")
			l := s.engine.loops[0]
			assert.Zero(t, l.refs, "the loop is held")
			assert.Empty(t, l.streams)
			assert.Zero(t, l.load.Load())
		})
	}
}

// TestDialEndsBeforeItBegins is the same for a dial.
func TestDialEndsBeforeItBegins(t *testing.T) {
	c := newCaller(t)
	c.atTimer(func() {
		var err error
		c.s, err = c.engine.Connect("tcp", "192.0.2.1:1", c.recorder, &DialOptions{Timeout: time.Second})
		require.NoError(t, err)
		require.NoError(t, c.s.Close())
	})
	assert.Equal(t, "close use of closed network connection", c.took())
	c.gone()
}

var errOnPurpose = errors.New("on purpose")

// TestStreamOnDyingLoopTellsTheCause has a loop die in the turn in which streams were given to it.
func TestStreamOnDyingLoopTellsTheCause(t *testing.T) {
	s, adopted, dialled := newStage(t, 1), &recorder{}, &recorder{}
	l := s.engine.loops[0]
	l.StartTimer(&backend.Timer{Fire: func() {
		_, err := s.engine.Adopt(anyConn{}, adopted)
		require.NoError(t, err)
		_, err = s.engine.Connect("tcp", "192.0.2.1:1", dialled, nil)
		require.NoError(t, err)
		l.Fail(errOnPurpose)
	}}, 0)
	_, err := l.Step(0)
	require.ErrorIs(t, err, errOnPurpose)
	assert.Contains(t, adopted.took(), errOnPurpose.Error())
	assert.Contains(t, dialled.took(), errOnPurpose.Error())
}
