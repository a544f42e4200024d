package backend

import (
	"runtime"
	"time"
)

// spinning is what a loop knows that looks for a while before it sleeps. It does so only as long as something happens now
// and then: timers alone would keep a loop that nobody uses from ever sleeping.
type spinning struct {
	fresh  bool  // something has happened since active
	active int64 // when a spin last began behind something that had happened
	yields bool  // other goroutines may run on the loop's thread
}

// spinsIdle is for how long a loop goes on spinning without an event or a task.
const spinsIdle = time.Second

// spinFor returns how long to spin before a sleep of wait.
func (l *Loop) spinFor(wait time.Duration) time.Duration {
	s, now := &l.spinning, l.Clock()
	if s.fresh {
		s.fresh, s.active = false, now
	}
	limit := min(l.cfg.Spin, spinsIdle-time.Duration(now-s.active))
	if wait > 0 {
		limit = min(limit, wait)
	}
	return max(limit, 0)
}

// spin looks until there is something to do, or limit has passed. Between looks it lets goroutines run that are ready, if
// its thread is not its own: handing that over would cost more than a look saves.
func (l *Loop) spin(limit time.Duration) (int, error) {
	now := l.Clock()
	for end := now + int64(limit); now < end; now = l.Clock() {
		l.awake = now
		for range 16 {
			if n, err := l.pollDriver(0); n > 0 || err != nil || !l.tasks.empty() {
				l.spinning.fresh = true
				return n, err
			}
		}
		if l.spinning.yields {
			runtime.Gosched()
		}
	}
	l.awake = 0
	return 0, nil
}
