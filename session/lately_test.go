package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLately asks for the time in many turns, and a hundred times in each.
func TestLately(t *testing.T) {
	s := newStage(t, 1)
	one, err := s.engine.Adopt(anyConn{}, BaseHandler{})
	require.NoError(t, err)
	s.turn()
	asked := 0
	for _, d := range []time.Duration{0, 1, time.Millisecond, time.Duration(wallEvery - 1), time.Duration(wallEvery), time.Second, time.Hour, time.Millisecond} {
		s.clock.advance(d)
		before := s.clock.Now()
		require.NoError(t, one.Post(func() {
			asked++
			first := Lately(one)
			assert.False(t, first.Before(before.Add(-d)) || first.After(s.clock.Now()), "%v off", first.Sub(before))
			for range 100 {
				assert.True(t, Lately(one).Equal(first), "it moves in a turn in which the clock does not")
			}
		}))
		s.turn()
	}
	assert.Equal(t, 8, asked)
}
