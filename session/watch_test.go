package session

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// watchedStage is a stage on which callbacks may take 80 ms.
func watchedStage(t *testing.T) *stage {
	return newStageWith(t, 2, func(c *Config) { c.SlowCallback = 80 * time.Millisecond })
}

// spend has time pass on a stage, in steps of a millisecond.
func (s *stage) spend(d time.Duration) {
	for range d / time.Millisecond {
		s.clock.advance(time.Millisecond)
	}
}

func (s *stage) messages() int { return strings.Count(s.log.String(), "level=WARN") }

// TestSlowCallback has a function take long. It is logged once, when it has run for longer than it may, and where it is.
func TestSlowCallback(t *testing.T) {
	s := watchedStage(t)
	l := s.engine.Loop(1)
	for i := range 3 {
		require.NoError(t, l.Post(func() {
			s.spend(79 * time.Millisecond)
			assert.Equal(t, i, s.messages(), "messages when it has not been long yet")
			s.spend(22 * time.Millisecond)
			assert.Equal(t, i+1, s.messages(), "messages within a quarter more")
			s.spend(time.Second)
			assert.Equal(t, i+1, s.messages(), "messages about one function")
		}))
		s.turn()
	}
	for _, says := range []string{"loop=1", "callback=Post", "duration=8", "TestSlowCallback", "spend"} {
		assert.Contains(t, s.log.String(), says)
	}
	s.spend(time.Second)
	assert.Equal(t, 3, s.messages())
	assert.EqualValues(t, 3, l.Stats().SlowCallbacks)
	assert.Zero(t, s.engine.Loop(0).Stats().SlowCallbacks)
}

// TestQuickCallbacks has many callbacks in one turn, which together take long. None of them is slow, and neither is what
// is no callback, nor one in which the machine stood still.
func TestQuickCallbacks(t *testing.T) {
	s := watchedStage(t)
	l := s.engine.Loop(0)
	r := &recorder{}
	for range 30 {
		_, err := s.engine.Adopt(anyConn{}, r)
		require.NoError(t, err)
	}
	s.turn()
	visited := 0
	for i := range 2 {
		require.NoError(t, s.engine.Loop(i).Post(func() {
			assert.NoError(t, s.engine.Loop(i).Each(func(*Stream) { s.spend(70 * time.Millisecond); visited++ }))
		}))
	}
	s.turn()
	assert.Equal(t, 30, visited)
	require.NoError(t, l.Post(func() {}))
	require.NoError(t, l.loop.Post(backend.TaskFunc(func() { s.spend(time.Second) }))) // in the same turn
	s.turn()
	require.NoError(t, l.Post(func() {
		s.spend(10 * time.Millisecond)
		s.clock.advance(time.Hour)
		s.spend(10 * time.Millisecond)
	}))
	s.turn()
	assert.Zero(t, s.messages(), "%s", &s.log)
	require.NoError(t, s.engine.Close())
}

// TestWatchRests has loops rest: nobody looks at them, until there is a callback again.
func TestWatchRests(t *testing.T) {
	s := watchedStage(t)
	looking := func() bool { return len(s.clock.timers) > 0 }
	s.turn()
	assert.False(t, looking(), "before the first callback")
	for range 3 {
		require.NoError(t, s.engine.Loop(0).Post(func() {}))
		s.turn()
		assert.True(t, looking(), "behind a callback")
		s.spend(10 * time.Millisecond)
		assert.False(t, looking(), "when the loops rest")
		s.spend(time.Second)
		s.turn()
		assert.False(t, looking(), "when the loops rest")
	}
	require.NoError(t, s.engine.Loop(1).Post(func() { s.spend(200 * time.Millisecond) }))
	s.turn()
	assert.Equal(t, 1, s.messages(), "of a watch that began again")
	off := newStageWith(t, 1, func(c *Config) { c.SlowCallback = -1 })
	require.NoError(t, off.engine.Loop(0).Post(func() { off.spend(time.Second) }))
	off.turn()
	assert.Zero(t, off.messages())
}

// TestSlowCallbacksAreSpared has one slow callback after another. No more than some are logged, and all are counted.
func TestSlowCallbacksAreSpared(t *testing.T) {
	s := newStageWith(t, 1, func(c *Config) { c.SlowCallback = 8 * time.Millisecond })
	const n = 60
	for range n {
		require.NoError(t, s.engine.Loop(0).Post(func() { s.spend(12 * time.Millisecond) }))
		s.turn()
	}
	assert.EqualValues(t, n, s.engine.Stats().SlowCallbacks)
	assert.Equal(t, 10, s.messages()) // of 720 ms
	s.spend(time.Second)
	require.NoError(t, s.engine.Loop(0).Post(func() { s.spend(12 * time.Millisecond) }))
	s.turn()
	assert.Contains(t, s.log.String(), `skipped=50`)
}

// TestEachInsideIsOver has Each called in a callback, which then takes long: it is the callback that is logged.
func TestEachInsideIsOver(t *testing.T) {
	s := watchedStage(t)
	_, err := s.engine.Adopt(anyConn{}, &recorder{})
	require.NoError(t, err)
	s.turn()
	visited := 0
	for i := range 2 {
		require.NoError(t, s.engine.Loop(i).Post(func() {
			require.NoError(t, s.engine.Loop(i).Each(func(*Stream) { visited++ }))
			s.spend(110 * time.Millisecond)
		}))
	}
	s.turn()
	assert.Equal(t, 1, visited)
	assert.Equal(t, 2, strings.Count(s.log.String(), "callback=Post"), &s.log)
	assert.NotContains(t, s.log.String(), "callback=Each")
}
