package backend

import (
	"errors"
	"fmt"
	"net"
)

// ErrGoexit is why a loop has died whose goroutine a callback has ended.
var ErrGoexit = errors.New("a callback has ended the loop's goroutine: runtime.Goexit, as t.FailNow calls it, does not belong in callbacks")

// Done is closed when the loop has ended. Any goroutine.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Err says why the loop has died, or is about to; nil if it has not. After a regular end it is the error of closing the
// driver. Any goroutine.
func (l *Loop) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Dying reports whether the loop has died, or will when the present turn ends.
func (l *Loop) Dying() bool { return l.failed }

// Show shows others what the loop has counted and has out, as it does by itself when it sleeps and when it has ended.
func (l *Loop) Show() { l.publishIdle() }

// Fail lets the loop die of err when the present turn ends; of the first err, if it is called more than once.
func (l *Loop) Fail(err error) {
	l.failed = true
	l.setErr(err)
}

func (l *Loop) setErr(err error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = err
	}
	l.mu.Unlock()
}

// End ends a loop that is stepped, between turns; see Loop. It returns what Err does, also if the loop has ended before.
func (l *Loop) End() error {
	if l.Ending() && !l.OnLoop() {
		return l.Err()
	}
	if !l.OnLoop() || !l.claim(loopTaking) {
		return l.whyNot()
	}
	l.finish()
	return l.Err()
}

// leave is deferred around a turn. A callback that has ended the goroutine ends the loop.
func (l *Loop) leave(whole *bool) {
	if *whole {
		return
	}
	if v := recover(); v != nil {
		panic(v)
	}
	l.exited()
	l.finish()
}

// exited fails because a callback has ended the goroutine.
func (l *Loop) exited() {
	err := ErrGoexit
	if l.cfg.Culprit != nil {
		err = fmt.Errorf("%s: %w", l.cfg.Culprit(), err)
	}
	l.Fail(err)
}

// finish ends the loop, as the comment of Loop says. It goes on where it was if a callback has ended its goroutine.
func (l *Loop) finish() {
	l.phase.Store(loopEnding)
	whole := false
	defer l.leaveFinish(&whole)
	if l.failed {
		l.letGo()
	}
	l.tasks.close()
	l.runAll()
	l.letGo()
	if l.failed {
		l.bury()
	}
	l.shared.publish(&l.Count)
	whole = true
	l.rest()
	l.owner.Store(0)
	close(l.done)
}

// bury ends what waits for a loop that has died.
func (l *Loop) bury() {
	if l.cfg.Died != nil && !l.buried {
		l.cfg.Died(l.Err())
	}
	l.buried = true
	l.runTurnEnds()
	l.publishIdle()
}

// leaveFinish is deferred by finish. What a callback has kept finish from doing is another goroutine's to do.
func (l *Loop) leaveFinish(whole *bool) {
	if *whole {
		return
	}
	v := recover()
	if v == nil {
		l.exited()
	}
	l.letGo() // while its thread is here
	l.owner.Store(0)
	go func() {
		l.owned()
		l.finish()
	}()
	if v != nil {
		panic(v)
	}
}

// runAll runs what is left of the tasks, when there can be no more.
func (l *Loop) runAll() {
	for l.tasks.take() > 0 {
		l.runTask(l.tasks.next())
	}
	l.runTurnEnds()
}

// runTurnEnds ends turns until nothing is scheduled any longer, a hundred at most.
func (l *Loop) runTurnEnds() {
	for range 100 {
		l.endTurn()
		n := 0
		if d, ok := l.Driver.(*deadDriver); ok {
			n = d.released.Report()
		}
		if n == 0 && len(l.turnEnders) == 0 {
			return
		}
	}
}

// letGo closes the driver, and gives the thread back.
func (l *Loop) letGo() {
	if _, ok := l.Driver.(*deadDriver); ok {
		return
	}
	l.publishIdle()
	l.company.close()
	if err := l.Driver.Close(); err != nil {
		l.setErr(err)
	}
	why := net.ErrClosed
	if l.failed {
		why = l.Err()
	}
	l.Driver = &deadDriver{Sockets: l.Sockets, closed: l.Driver, why: why}
	if l.unpin != nil {
		l.unpin()
	}
}
