package simulated

import (
	"context"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Clock is the clock of a Kernel: it stands still while nobody looks, and passes in sleeps. Reading it takes some
// nanoseconds.
type Clock struct{ k *Kernel }

var _ backend.Clock = Clock{}

// Clock returns the kernel's clock.
func (k *Kernel) Clock() Clock { return Clock{k} }

// Now implements backend.Clock.
func (c Clock) Now() time.Time {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	return start.Add(c.k.look())
}

// Since implements backend.Clock.
func (c Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// look is the time after reading the clock.
func (k *Kernel) look() time.Duration {
	k.now += 20 * time.Nanosecond
	if k.chance(k.cfg.Faults.Stall) {
		k.now += time.Duration(k.random.Int64N(int64(2 * time.Millisecond)))
	}
	return k.now
}

// AfterFunc implements backend.Clock. The clock stands still until f has returned.
func (c Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	k := c.k
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.after(d, func() {
		k.running++
		go func() {
			defer func() {
				k.mu.Lock()
				k.running--
				k.changed.Broadcast()
				k.mu.Unlock()
			}()
			f()
		}()
	})
	return func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.drop(e)
	}
}

// timed is a context that a Clock ends.
type timed struct {
	context.Context
	deadline time.Time
}

// Deadline implements context.Context.
func (t timed) Deadline() (time.Time, bool) { return t.deadline, true }

// Err implements context.Context.
func (t timed) Err() error {
	if t.Context.Err() == nil {
		return nil
	}
	return context.Cause(t.Context)
}

// WithTimeout implements backend.Clock.
func (c Clock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	deadline := c.Now().Add(d)
	stop := c.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return timed{inner, deadline}, func() {
		stop()
		cancel(context.Canceled)
	}
}
