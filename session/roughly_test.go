package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTimeOfDirectWrites is that of the last look for slow callbacks, while somebody looks, and exact otherwise.
func TestTimeOfDirectWrites(t *testing.T) {
	const slow = 80 * time.Millisecond
	s := newStageWith(t, 2, func(c *Config) { c.SlowCallback = slow })
	one, err := s.engine.Adopt(anyConn{}, BaseHandler{})
	require.NoError(t, err)
	two, err := s.engine.Adopt(anyConn{}, BaseHandler{})
	require.NoError(t, err)
	require.NotEqual(t, one.Loop(), two.Loop())
	s.turn()
	write := func(st *Stream) time.Time {
		elsewhere(func() { _, _ = st.Write([]byte("x")) })
		return st.Stats().LastWrite
	}
	look := s.clock.Now()
	for _, st := range []*Stream{one, two} {
		assert.True(t, write(st).Equal(look))
	}
	s.clock.advance(slow/looksPerSlow - 1)
	for _, st := range []*Stream{one, two} {
		at := write(st)
		assert.False(t, at.Before(look) || at.After(s.clock.Now()), "%v after the look", at.Sub(look))
	}
	for range 4 * looksPerSlow { // all loops rest, and nobody looks any longer
		s.turn()
		s.clock.advance(slow / looksPerSlow)
	}
	for _, st := range []*Stream{one, two} {
		assert.True(t, write(st).Equal(s.clock.Now()), "nobody looks")
	}
	one.SetIdleTimeout(time.Hour)
	s.turn()
	s.clock.advance(1)
	assert.True(t, write(one).Equal(s.clock.Now()), "an idle timeout wants it exactly")
}
