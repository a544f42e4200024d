package backend

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// poller binds a loop and steps it, on a goroutine of its own, until it is told to rest; then it lives on.
func poller(t *testing.T, l *Loop, steps int, wait time.Duration) (bound, rested <-chan struct{}, last *error) {
	t.Helper()
	b, r := make(chan struct{}), make(chan struct{})
	last = new(error)
	go func() {
		defer close(r)
		assert.NoError(t, l.Bind())
		close(b)
		for ; steps != 0 && *last == nil; steps-- {
			_, *last = l.Step(wait)
		}
	}()
	return b, r, last
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestTakeOver takes a loop from goroutines that do different things.
func TestTakeOver(t *testing.T) {
	for name, p := range map[string]struct {
		steps int
		wait  time.Duration
	}{"that has ended": {1, 0}, "that sleeps": {-1, -1}, "that never rests": {-1, 0}, "that sleeps shortly": {-1, 50 * time.Microsecond}} {
		t.Run(name, func(t *testing.T) {
			f := newLife(t)
			m := &movable{fakeDriver: f.fake}
			f.cfg.Driver, f.Driver = m, m
			bound, rested, last := poller(t, f.Loop, p.steps, p.wait)
			<-bound
			if p.steps > 0 {
				<-rested
			}
			require.NoError(t, f.TakeOver(within(t, 5*time.Second)))
			require.True(t, f.OnLoop())
			require.False(t, f.Stepping())
			require.Equal(t, 1, m.moved)
			_, err := f.Step(0)
			require.NoError(t, err)
			if p.steps < 0 {
				<-rested
				require.ErrorIs(t, *last, ErrOther)
			}
			require.NoError(t, f.End())
			require.NoError(t, f.end())
			require.Empty(t, f.died)
		})
	}
}

// A driver that is bound to a thread dies when its loop is taken over.
func TestTakeOverFromAThread(t *testing.T) {
	f := newLife(t)
	bound, rested, last := poller(t, f.Loop, -1, -1)
	<-bound
	f.post(func() {})
	require.ErrorIs(t, f.TakeOver(within(t, 5*time.Second)), ErrThread)
	require.ErrorIs(t, f.end(), ErrThread)
	require.Len(t, f.died, 1)
	<-rested
	require.Error(t, *last)
	require.ErrorIs(t, f.TakeOver(within(t, 5*time.Second)), ErrThread, "a second time")
}

// A loop that nobody has run yet becomes the caller's, or dies if it cannot start.
func TestTakeOverFromNobody(t *testing.T) {
	f := newLife(t)
	require.NoError(t, f.TakeOver(within(t, time.Second)))
	require.NoError(t, f.TakeOver(within(t, time.Second)), "a second time")
	require.NoError(t, f.End())

	f = newLife(t)
	f.fake.start = ErrThread
	require.ErrorIs(t, f.TakeOver(within(t, time.Second)), ErrThread)
	require.ErrorIs(t, f.end(), ErrThread)
}

// A turn that does not end is not waited for longer than the context says, and goes on undisturbed.
func TestTakeOverGivesUp(t *testing.T) {
	f := newLife(t)
	hold, held := make(chan struct{}), make(chan struct{})
	f.post(func() { close(held); <-hold })
	bound, rested, last := poller(t, f.Loop, 3, 0)
	<-bound
	<-held
	require.ErrorIs(t, f.TakeOver(within(t, 5*time.Millisecond)), context.DeadlineExceeded)
	close(hold)
	<-rested
	require.NoError(t, *last)
	f.company.close() // the loop is still that of the goroutine, which has gone
}

// Of many that take over a loop and step it each has it alone. The race detector looks on.
func TestTakeOverByMany(t *testing.T) {
	f := newLife(t)
	m := &movable{fakeDriver: f.fake}
	f.cfg.Driver, f.Driver = m, m
	var inside atomic.Int32
	turns, done := 0, make(chan struct{})
	const goroutines, times = 8, 20
	for range goroutines {
		go func() {
			for range times {
				if assert.NoError(t, f.TakeOver(within(t, 10*time.Second))) {
					_ = f.Post(TaskFunc(func() {
						assert.EqualValues(t, 1, inside.Add(1))
						turns++
						inside.Add(-1)
					}))
					_, _ = f.Step(0)
				}
			}
			done <- struct{}{}
		}()
	}
	for range goroutines {
		<-done
	}
	require.NoError(t, f.TakeOver(within(t, 10*time.Second)))
	require.NoError(t, f.End())
	require.Equal(t, goroutines*times, turns)
}
