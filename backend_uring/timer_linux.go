package uring

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// timer ends the sleeps of a driver in enter on time. It may end one early: when it is armed for an earlier time.
type timer struct {
	*backend.SleepTimer      // nil: the sleeps have timeouts of their own
	watched             bool // a poll of it is in flight
	fired               int  // completions of that poll which are not counted yet
}

// openTimer makes the timer. Without one, each enter sets one up, which costs more.
func (d *Driver) openTimer() {
	if d.config.Kernel == nil {
		d.timer.SleepTimer, _ = backend.NewSleepTimer()
	}
}

func (d *Driver) watchTimer() {
	if d.timer.SleepTimer == nil {
		return
	}
	e := d.entry()
	e.PrepPollAdd(d.timer.FD(), unix.POLLIN, true)
	e.UserData = opTimer
	d.waker.requests++
	d.timer.watched = true
}

// timed arms the timer for a sleep, and returns what is left for enter to time.
func (d *Driver) timed(wait time.Duration) time.Duration {
	if wait <= 0 || !d.timer.watched {
		return wait
	}
	now := d.timer.Now()
	if d.timer.Arm(now+wait, now, d.count) != nil { // a seccomp filter
		return wait
	}
	return -1
}

// timerFired handles a completion of the timer's poll, which ends by itself when the completion queue is full. If it
// fails, the kernel lacks memory, and each enter sets up a timer of its own from now on.
func (d *Driver) timerFired(c ring.CQE, last bool) {
	t := &d.timer
	t.fired++
	t.Fired()
	if !last {
		return
	}
	d.waker.requests--
	t.watched = false
	if c.Res >= 0 && !d.closing {
		d.watchTimer()
	}
}

// events takes the completions that were no events: they only end a sleep.
func (t *timer) events() (n int) {
	n, t.fired = t.fired, 0
	return n
}
