//go:build linux

package epoll

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// sleepUntilWoken sleeps for wait at most, is woken at once, and returns how many system calls that took.
func sleepUntilWoken(t *testing.T, d *Driver, wait time.Duration) uint64 {
	t.Helper()
	before := d.count[backend.SystemCalls]
	d.Wake()
	_, err := d.Poll(wait)
	require.NoError(t, err)
	return d.count[backend.SystemCalls] - before
}

// A sleep with a timer costs no more system calls than one without, even if the timer moves on every time, or the clock
// is read a little earlier or later.
func TestSleepArmsTheTimerOnce(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		plain := sleepUntilWoken(t, d, -1)
		assert.Equal(t, plain+1, sleepUntilWoken(t, d, time.Hour), "the first sleep with a timer")
		for i := range 20 {
			due := time.Hour + time.Duration(i)*time.Minute
			assert.Equal(t, plain, sleepUntilWoken(t, d, due), "a sleep with a timer that has moved on")
		}
		assert.Equal(t, plain, sleepUntilWoken(t, d, -1), "a sleep whose timer was stopped")
		assert.Equal(t, plain+1, sleepUntilWoken(t, d, time.Minute), "a sleep with an earlier timer")
		for end := d.timer.Now() + time.Minute; end-d.timer.Now() > time.Minute-10*time.Millisecond; {
			assert.LessOrEqual(t, sleepUntilWoken(t, d, end-d.timer.Now()), plain+1)
		}
	})
}

// A timer that fires before the sleep has to end does not end it, and is no event.
func TestSleepOutlastsAnEarlierTimer(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		for _, wait := range []time.Duration{20 * time.Millisecond, 5 * time.Millisecond} {
			sleepUntilWoken(t, d, time.Millisecond) // which leaves the timer armed
			began := time.Now()
			n, err := d.Poll(wait)
			require.NoError(t, err)
			require.Zero(t, n)
			require.GreaterOrEqual(t, time.Since(began), wait)
		}
		sleepUntilWoken(t, d, time.Millisecond)
		wake := time.AfterFunc(30*time.Millisecond, d.Wake)
		_, err := d.Poll(-1)
		require.NoError(t, err)
		require.False(t, wake.Stop(), "a stale timer has ended a sleep that has no end")
	})
}

// A timer that fires while the loop is awake does not end the next sleep.
func TestTimerFiresWhileAwake(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		for _, look := range []bool{false, true} {
			sleepUntilWoken(t, d, time.Millisecond)
			time.Sleep(3 * time.Millisecond)
			if look {
				require.Zero(t, drivertest.Turn(t, d))
			}
			began := time.Now()
			n, err := d.Poll(5 * time.Millisecond)
			require.NoError(t, err)
			require.Zero(t, n)
			require.GreaterOrEqual(t, time.Since(began), 5*time.Millisecond)
		}
	})
}
