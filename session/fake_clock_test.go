package session

import (
	"context"
	"sync"
	"time"
)

// A kernel and a clock that a test moves by hand: no socket, no wait.

// fakeClock is a backend.Clock that stands still until advance.
type fakeClock struct {
	mu     sync.Mutex // guards what follows
	now    time.Time
	timers map[*fakeTimer]struct{}
}

type fakeTimer struct {
	when time.Time
	f    func()
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Unix(1_000_000, 0), timers: map[*fakeTimer]struct{}{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *fakeClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &fakeTimer{c.now.Add(d), f}
	c.timers[t] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waits := c.timers[t]
		delete(c.timers, t)
		return waits
	}
}

// advance moves the time, and calls what is due.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for t := range c.timers {
		if !t.when.After(c.now) {
			due = append(due, t.f)
			delete(c.timers, t)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// fakeContext is a context whose deadline the clock keeps.
type fakeContext struct {
	context.Context
	deadline time.Time
}

func (c *fakeContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *fakeContext) Err() error {
	if c.Context.Err() == nil {
		return nil
	}
	return context.Cause(c.Context)
}

func (c *fakeClock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	stop := c.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return &fakeContext{inner, c.Now().Add(d)}, func() { stop(); cancel(context.Canceled) }
}
