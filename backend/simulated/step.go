package simulated

import (
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Step lets one driver go on, or time pass until one can, and returns when that driver sleeps or asks again. It reports
// false if nothing can happen any longer: every driver sleeps, and nothing is scheduled. It is for a Kernel whose Config
// says Stepped.
//
// Which of several drivers goes on is left to the seed.
func (k *Kernel) Step() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.awaitParked()
	for {
		k.settle()
		ran := k.runDue()
		if d := k.chooseDriver(); d != nil {
			d.grant = true
			k.changed.Broadcast()
			k.awaitParked()
			if d.closed {
				k.settle() // its loop is at work still, to end what was on it
			}
			return true
		}
		if !ran && !k.passTime() { // else goroutines of the program may have something to do first
			return false
		}
	}
}

// StepOther lets another driver go on than the one whose loop calls the function of Interrupt, which calls this, and returns
// when it sleeps or asks again. No time passes. It reports false if no other can go on.
func (k *Kernel) StepOther() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.chooseDriver()
	if d == nil {
		return false
	}
	d.grant = true
	k.changed.Broadcast()
	for !d.closed && (!d.parked || d.grant) {
		k.changed.Wait()
	}
	k.settle() // if it has ended, its loop is at work still
	return true
}

// awaitParked waits until every driver that runs has asked for its turn, or is closed.
func (k *Kernel) awaitParked() {
	for k.busy() {
		k.changed.Wait()
	}
}

func (k *Kernel) busy() bool {
	for _, d := range k.drivers {
		if !d.closed && (!d.parked || d.grant) {
			return true
		}
	}
	return false
}

// chooseDriver is one of those that can go on now, or nil.
func (k *Kernel) chooseDriver() *driver {
	var able []*driver
	for _, d := range k.drivers {
		if d.parked && !d.grant && !d.closed && (d.woken || d.fails || d.until >= 0 && k.now >= d.until || d.due()) {
			able = append(able, d)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return able[k.random.IntN(len(able))]
}

// passTime moves the clock to the next event, or to the end of the next sleep.
func (k *Kernel) passTime() bool {
	until := time.Duration(-1)
	for _, d := range k.drivers {
		if d.parked && !d.closed && d.until >= 0 && (until < 0 || d.until < until) {
			until = d.until
		}
	}
	return k.advance(until) || until >= 0
}

// Advance moves the clock by d, and lets everything happen that is due by then. Nobody who sleeps wakes before the next
// Step or Poll.
func (k *Kernel) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for until := k.now + d; ; {
		k.settle()
		if !k.advance(until) {
			return
		}
	}
}

// sleep returns when d has passed. On a Kernel that is stepped somebody else has to move the time.
func (k *Kernel) sleep(d time.Duration) {
	if k.cfg.Stepped {
		backend.Sleep(k.Clock(), d)
	} else {
		k.Advance(d)
	}
}

// Idle reports whether nothing is scheduled.
func (k *Kernel) Idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.events) == 0
}
