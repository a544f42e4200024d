package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// TestStreamStats has bytes come and go at known times.
func TestStreamStats(t *testing.T) {
	a := newActor(t, StreamOptions{})
	opened := a.clock.Now()
	assert.Equal(t, StreamStats{Opened: opened}, a.s.Stats())

	a.clock.advance(time.Second)
	came := a.clock.Now()
	a.f.send("hello")
	a.turn()
	want := StreamStats{Opened: opened, BytesIn: 5, LastRead: came}
	assert.Equal(t, want, a.s.Stats(), "bytes have come")

	a.clock.advance(time.Second)
	a.s.PauseRead()
	a.f.send("paused")
	a.turn()
	want.BytesIn, want.LastRead = 11, a.clock.Now()
	assert.Equal(t, want, a.s.Stats(), "bytes count as come although nobody has seen them")

	a.clock.advance(time.Second)
	a.f.room = 2
	_, err := a.s.Write([]byte("answer"))
	require.NoError(t, err)
	a.turn()
	want.BytesQueued, want.BytesSent, want.LastWrite = 6, 2, a.clock.Now()
	assert.Equal(t, want, a.s.Stats(), "a part has gone")

	a.clock.advance(time.Second)
	a.f.room = plenty
	a.turn()
	want.BytesSent, want.LastWrite = 6, a.clock.Now()
	assert.Equal(t, want, a.s.Stats(), "the rest has gone")

	a.clock.advance(time.Second)
	elsewhere(func() { _, err = a.s.Write([]byte("direct")) })
	require.NoError(t, err)
	want.BytesQueued, want.BytesSent, want.LastWrite = 12, 12, a.clock.Now()
	assert.Equal(t, want, a.s.Stats(), "another goroutine has sent")

	a.clock.advance(time.Second)
	require.NoError(t, a.s.Abort())
	a.turn()
	assert.Equal(t, want, a.s.Stats(), "they stay after the end")
}

// countingClock counts how often it is read.
type countingClock struct {
	*fakeClock
	reads int
}

func (c *countingClock) Since(t time.Time) time.Duration {
	c.reads++
	return c.fakeClock.Since(t)
}

// TestStreamStatsReadTheClockOnceATurn has many streams receive in one turn, whose handlers are not called.
func TestStreamStatsReadTheClockOnceATurn(t *testing.T) {
	const streams = 20
	var clock *countingClock
	s := newStageWith(t, 1, func(c *Config) {
		clock = &countingClock{fakeClock: c.Clock.(*fakeClock)}
		c.Clock = clock
	})
	var all []*Stream
	for range streams {
		one, err := s.engine.Adopt(anyConn{}, BaseHandler{})
		require.NoError(t, err)
		s.turn()
		one.PauseRead()
		all = append(all, one)
	}
	s.turn()
	step := func(send string) int {
		for _, one := range all {
			s.of(one.fd).send(send)
		}
		before := clock.reads
		_, err := s.engine.loops[0].Step(0)
		require.NoError(t, err)
		return clock.reads - before
	}
	idle := step("")
	busy := step("x")
	for _, one := range all {
		require.EqualValues(t, 1, one.Stats().BytesIn)
	}
	assert.LessOrEqual(t, busy, idle+2, "readings of the clock in a turn with %d streams", streams)
}

// TestStreamOfHoldings counts what a Conn had not read as come.
func TestStreamOfHoldings(t *testing.T) {
	s := newStage(t, 1)
	st := newStream(s.engine.loops[0], BaseHandler{}, &origin{})
	st.adopt(s.connection(), backend.Address{}, &holdings{unread: []byte("before")})
	assert.EqualValues(t, 6, st.Stats().BytesIn)
}
