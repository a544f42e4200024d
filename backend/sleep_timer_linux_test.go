package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A timer that is armed for a little later than the sleep has to end is armed again.
func TestTimerIsArmedForTheEarlier(t *testing.T) {
	timer, err := NewSleepTimer()
	require.NoError(t, err)
	defer timer.Close()
	var count Counters
	now := timer.Now()
	due := now + time.Hour
	for _, c := range []struct {
		earlier time.Duration
		again   bool
	}{{0, true}, {slack, false}, {50 * time.Microsecond, true}, {time.Millisecond, true}, {0, false}} {
		before := count[SystemCalls]
		require.NoError(t, timer.Arm(due-c.earlier, now, &count))
		again := count[SystemCalls] > before
		assert.Equal(t, c.again, again, "armed again for %v earlier", c.earlier)
		assert.LessOrEqual(t, timer.armed, due-c.earlier+10*time.Microsecond)
	}
}

// A timer that could not be armed is not taken for armed.
func TestTimerThatIsNotArmed(t *testing.T) {
	timer, err := NewSleepTimer()
	require.NoError(t, err)
	var count Counters
	require.NoError(t, timer.Arm(timer.Now()+time.Hour, timer.Now(), &count))
	timer.Close()
	for range 2 {
		assert.Error(t, timer.Arm(timer.Now()+time.Minute, timer.Now(), &count))
	}
}
