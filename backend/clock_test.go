package backend

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// handClock is a Clock that moves by hand.
type handClock struct {
	SystemClock
	now time.Time
}

func (c *handClock) Now() time.Time                  { return c.now }
func (c *handClock) Since(t time.Time) time.Duration { return c.now.Sub(t) }

// A loop's timers follow the clock that it was given.
func TestLoopKeepsToItsClock(t *testing.T) {
	c := &handClock{now: time.Unix(1000, 0)}
	l := NewLoop(LoopConfig{Driver: newFake(), CPU: -1, Clock: c})
	require.NoError(t, l.Bind())
	fired := false
	timer := Timer{Fire: func() { fired = true }}
	l.StartTimer(&timer, time.Hour)
	step := func() {
		_, err := l.Step(0)
		require.NoError(t, err)
	}
	c.now = c.now.Add(time.Hour - 1)
	step()
	assert.False(t, fired, "a nanosecond early")
	c.now = c.now.Add(1)
	step()
	assert.True(t, fired, "when the time has come")
	assert.Equal(t, int64(time.Hour)+1, l.Clock())
	require.NoError(t, l.End())
}

// After closes its channel once the time has passed, unless it is stopped.
func TestAfter(t *testing.T) {
	passed, stop := After(SystemClock{}, time.Millisecond)
	select {
	case <-passed:
	case <-time.After(5 * time.Second):
		require.Fail(t, "the time has not passed")
	}
	assert.False(t, stop(), "it was too late to stop")
	passed, stop = After(SystemClock{}, time.Hour)
	assert.True(t, stop())
	select {
	case <-passed:
		assert.Fail(t, "it has passed all the same")
	default:
	}
	begin := time.Now()
	Sleep(SystemClock{}, time.Millisecond)
	assert.GreaterOrEqual(t, time.Since(begin), time.Millisecond)
	ctx, cancel := SystemClock{}.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	assert.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
}
