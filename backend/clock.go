package backend

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time, and says when a time has come. A loop and everything above it use the clock of [LoopConfig] and
// no other, so that a test can move time by hand. Any goroutine may use it.
type Clock interface {
	// Now is the time, for deadlines. It has a monotonic reading.
	Now() time.Time

	// Since is how much time has passed since t. It is cheaper than Now.
	Since(t time.Time) time.Duration

	// AfterFunc calls f once d has passed, on a goroutine of its own. stop keeps it from that, and reports whether it
	// did, as the method of a time.Timer.
	AfterFunc(d time.Duration, f func()) (stop func() bool)

	// WithTimeout is a context that ends when d has passed, as that of package context.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// SystemClock is the Clock of package time.
type SystemClock struct{}

var _ Clock = SystemClock{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Since implements Clock.
func (SystemClock) Since(t time.Time) time.Duration { return time.Since(t) }

// AfterFunc implements Clock.
func (SystemClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// WithTimeout implements Clock.
func (SystemClock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

// After returns a channel that is closed once d has passed by c. stop gives up waiting for that.
func After(c Clock, d time.Duration) (passed <-chan struct{}, stop func() bool) {
	done := make(chan struct{})
	return done, c.AfterFunc(d, func() { close(done) })
}

// Alarm calls a function when its time has come, each time that it was set. The zero value is none; NewAlarm makes one.
type Alarm struct {
	clock Clock
	fn    func()

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	stop  func() bool
}

// NewAlarm makes an Alarm that calls fn on a goroutine of its own. It is not set yet.
func NewAlarm(c Clock, fn func()) *Alarm { return &Alarm{clock: c, fn: fn} }

// Set has the function called once d has passed. It is not set already. On a SystemClock it allocates only once. Any
// goroutine.
func (a *Alarm) Set(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch _, system := a.clock.(SystemClock); {
	case !system:
		a.stop = a.clock.AfterFunc(d, a.fn)
	case a.timer == nil:
		a.timer = time.AfterFunc(d, a.fn)
		a.stop = a.timer.Stop
	default:
		a.timer.Reset(d)
	}
}

// Stop keeps the function from being called, unless that has begun. Any goroutine.
func (a *Alarm) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop != nil {
		a.stop()
	}
}

// Sleep returns once d has passed by c.
func Sleep(c Clock, d time.Duration) {
	passed, _ := After(c, d)
	<-passed
}
