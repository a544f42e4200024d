package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// Which goroutine a loop is, and how it comes to be another's.

// ErrOnLoop is returned by a call that waits for a loop when it is made on that loop's goroutine.
var ErrOnLoop = fmt.Errorf("called from a callback of the loop that it would wait for: %w", errors.ErrUnsupported)

// ErrThread is why a loop has died that was taken over from a goroutine to whose thread its driver is bound.
var ErrThread = errors.New("the loop's driver is bound to the thread of another goroutine, and cannot go on without it")

// ErrOther is returned to a goroutine that wants to run a loop that is another goroutine's.
var ErrOther = errors.New("the loop is another goroutine's")

// Phases of a loop. claim, unclaim and finish make the moves: from free to one of the next two and back, and from any of
// these to ending, which is the last.
const (
	loopFree    uint32 = iota // between turns, or not begun
	loopTurning               // Run, or a turn of Step
	loopTaking                // becomes a goroutine's
	loopEnding                // on its way to Done, or there
)

// OnLoop reports whether the caller runs on the loop's goroutine. Any goroutine may ask.
func (l *Loop) OnLoop() bool { return l.owner.Load() == goroutine() }

// Bind makes the calling goroutine the loop's, if it is not already. With a CPU set it also locks it to its thread,
// until the loop ends. It fails if the loop is another goroutine's, or has ended. A loop that cannot start has died when
// Bind returns.
func (l *Loop) Bind() error {
	if l.OnLoop() {
		return nil
	}
	if !l.claim(loopTaking) {
		return l.whyNot()
	}
	defer l.unclaim()
	if l.Bound() {
		return l.whyNot()
	}
	l.owned()
	if err := l.start(); err != nil {
		l.Fail(err)
		l.finish()
		return l.Err()
	}
	return nil
}

// owned makes the calling goroutine the loop's.
func (l *Loop) owned() {
	l.owner.Store(goroutine())
	l.signs.number.Store(goroutineNumber())
}

func (l *Loop) start() (err error) {
	l.company.begin()
	if l.cfg.CPU >= 0 {
		if l.unpin, err = pinThread(l.cfg.CPU); err != nil {
			return fmt.Errorf("run on CPU %d: %w", l.cfg.CPU, err)
		}
	}
	return l.Driver.Start(&l.Count)
}

// Ending reports whether the loop has ended or is about to, so that Post refuses, or will. Any goroutine.
func (l *Loop) Ending() bool { return l.phase.Load() == loopEnding }

// Bound reports whether the loop is a goroutine's. Any goroutine.
func (l *Loop) Bound() bool { return l.owner.Load() != 0 }

// Stepping reports whether the caller is a callback of the loop's: whether it runs on the loop's goroutine, in a turn
// or while the loop ends. Any goroutine.
func (l *Loop) Stepping() bool {
	phase := l.phase.Load()
	return (phase == loopTurning || phase == loopEnding) && l.OnLoop()
}

// Step runs one turn, which sleeps at most wait, for ever if wait is negative, and returns how many events there were.
// An error means that no turn was run, because the caller is a callback, or the loop is another goroutine's; or that the
// loop has ended: then it is what Err returns, or net.ErrClosed.
func (l *Loop) Step(wait time.Duration) (int, error) {
	if l.wanted.Load() > 0 || !l.claim(loopTurning) {
		return 0, l.whyNot()
	}
	defer l.unclaim()
	if !l.OnLoop() {
		return 0, l.whyNot()
	}
	l.awake = 0
	n, err := l.runTurn(wait)
	l.rest()
	if err != nil {
		l.Fail(err)
	}
	if l.failed {
		l.finish()
		return n, l.Err()
	}
	return n, nil
}

// TakeOver makes the loop the calling goroutine's, between turns, so that it can Step and End it. It is for loops that
// are stepped, whose goroutine has ended or has other things to do, and does nothing if the loop is the caller's
// already. While a turn is running it ends the turn's sleep, keeps another from beginning, and waits; if ctx ends first
// it returns ctx.Err(), and ErrOnLoop in a callback. The goroutine that had the loop must not be in a call that belongs
// to the loop, such as a method of a stream, outside of Step; afterwards it is like any other.
//
// A driver that is bound to a thread cannot follow. Then, and if it cannot start, the loop has died when TakeOver
// returns, and the error is that of Err.
func (l *Loop) TakeOver(ctx context.Context) error {
	l.wanted.Add(1)
	defer l.wanted.Add(-1)
	for !l.claim(loopTaking) {
		if l.Stepping() {
			return ErrOnLoop
		}
		l.cfg.Driver.Wake()
		if err := l.pause(ctx); err != nil {
			return err
		}
	}
	defer l.unclaim()
	if l.OnLoop() {
		return nil
	}
	bound := l.Bound()
	l.owned()
	var err error
	if !bound {
		err = l.start()
	} else if m, ok := l.Driver.(Mover); !ok {
		err = ErrThread
	} else {
		err = m.Move()
	}
	if err == nil {
		return nil
	}
	l.Fail(err)
	l.finish()
	return l.Err()
}

// pause waits a little for the goroutine that has the loop.
func (l *Loop) pause(ctx context.Context) error {
	passed, stop := After(l.Time, time.Millisecond)
	defer stop()
	select {
	case <-l.done:
		return l.whyNot()
	case <-ctx.Done():
		return ctx.Err()
	case <-passed:
		return nil
	}
}

// claim reserves a loop that is free, and reports whether it could.
func (l *Loop) claim(phase uint32) bool { return l.phase.CompareAndSwap(loopFree, phase) }

// unclaim ends what claim began, unless the loop has ended meanwhile. Who has claimed the loop calls it.
func (l *Loop) unclaim() {
	if !l.Ending() {
		l.phase.Store(loopFree)
	}
}

// whyNot says why the loop is not the caller's to run.
func (l *Loop) whyNot() error {
	switch {
	case l.Stepping():
		return ErrOnLoop
	case l.Ending():
		if err := l.Err(); err != nil {
			return err
		}
		return net.ErrClosed
	}
	return ErrOther
}
