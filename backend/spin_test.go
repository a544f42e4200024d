package backend

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A loop that only timers wake stops spinning within a second or so, and spins again when something has happened.
func TestSpinEndsWithoutEvents(t *testing.T) {
	d := &idleDriver{fakeDriver: newFake()}
	l := NewLoop(LoopConfig{Driver: d, Spin: 20 * time.Millisecond, CPU: -1})
	require.NoError(t, l.Bind())
	step := func() int {
		var timer Timer
		timer.Fire = func() {}
		l.StartTimer(&timer, 5*time.Millisecond)
		d.looks = 0
		for timer.Active() {
			_, err := l.Step(10 * time.Millisecond)
			require.NoError(t, err)
		}
		return d.looks
	}
	require.Greater(t, step(), 50, "looks of a loop that spins")
	began := time.Now()
	for step() > 50 {
		require.Less(t, time.Since(began), 5*time.Second, "it spins on, with timers alone")
	}
	assert.GreaterOrEqual(t, time.Since(began), spinsIdle/2, "how long it spins on")
	d.events = 1
	step()
	assert.Greater(t, step(), 50, "looks behind an event")
	for step() > 50 {
		require.Less(t, time.Since(began), 5*time.Second, "it spins on, with timers alone")
	}
	require.NoError(t, l.Post(TaskFunc(func() {})))
	step()
	assert.Greater(t, step(), 50, "looks behind a task")
	require.NoError(t, l.End())
}

// idleDriver sleeps for as long as it may, and has an event now and then.
type idleDriver struct {
	*fakeDriver
	looks, events int
}

func (d *idleDriver) Poll(wait time.Duration) (int, error) {
	n := d.events
	d.looks++
	d.events = 0
	time.Sleep(wait) // which a Poll does that has no event
	return n, nil
}

// Goroutines that are ready do not wait for a loop that spins, even if there is one processor.
func TestSpinYields(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	d := &movingDriver{newFake()}
	l := NewLoop(LoopConfig{Driver: d, Spin: time.Minute, CPU: -1})
	require.NoError(t, l.Bind())
	ran, looks := make(chan struct{}), 0
	d.poll = func() (int, error) {
		select {
		case <-ran:
			return 1, nil
		default:
			looks++
			return 0, nil
		}
	}
	go close(ran)
	_, err := l.Step(-1)
	require.NoError(t, err)
	assert.Less(t, looks, 100, "looks before the goroutine ran")
	require.NoError(t, l.End())
}

type movingDriver struct{ *fakeDriver }

func (*movingDriver) Move() error { return nil }
