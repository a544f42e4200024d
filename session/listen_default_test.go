package session

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// TestDefaultOfMaxConns has listeners with a limit of their own, with that of the engine, and with none.
func TestDefaultOfMaxConns(t *testing.T) {
	s := newStageWith(t, 1, func(c *Config) { c.MaxConns = 3 })
	for _, c := range []struct{ asked, want int }{{0, 3}, {7, 7}, {-1, 0}} {
		l, err := s.engine.Listen("tcp", "", BaseHandler{}, &ListenOptions{MaxConns: c.asked})
		require.NoError(t, err)
		assert.Equal(t, c.want, l.Stats().MaxConns, "MaxConns is %d", c.asked)
		a := l.(*listener).listenSockets()[0]
		assert.Equal(t, c.want > 0, a.sock.Bounded, "a limit below the backlog bounds accepts from the beginning")
		for range 10 {
			a.Accepted(s.connection(), backend.Address{}, nil)
		}
		s.turn()
		if c.want == 0 {
			assert.Equal(t, 10, l.Stats().Streams)
		} else {
			assert.Equal(t, c.want, l.Stats().Streams)
			assert.Equal(t, 10-c.want, l.Stats().Parked)
		}
		require.NoError(t, l.Close())
		s.turn()
	}
}

// TestAcceptsAreBoundedLate has so large a default that accepts are unbounded until half of it is used.
func TestAcceptsAreBoundedLate(t *testing.T) {
	s := newStageWith(t, 1, func(c *Config) { c.MaxConns = 10_000 })
	l := s.listen(nil)
	a := l.listenSockets()[0]
	require.False(t, a.sock.Bounded)
	require.EqualValues(t, 5000, l.boundFrom)
	l.boundFrom = 3
	f := s.of(a.sock.Descriptor)
	for range 2 {
		a.Accepted(s.connection(), backend.Address{}, nil)
	}
	assert.False(t, a.sock.Bounded, "below the half")
	assert.True(t, f.accepting)
	a.Accepted(s.connection(), backend.Address{}, nil)
	assert.True(t, a.sock.Bounded)
	assert.False(t, f.accepting, "the accept that is not bounded goes on")
	a.Accepted(s.connection(), backend.Address{}, nil)
	assert.False(t, f.accepting, "within the turn")
	s.turn()
	assert.True(t, f.accepting, "bounded accepts have not begun")
	assert.Equal(t, 4, l.Stats().Streams)
}
