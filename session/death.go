package session

import (
	"fmt"
	"net"

	"github.com/tandem-io/tandem/backend"
)

// A loop dies when its driver fails, or when a callback ends its goroutine by runtime.Goexit. That is a path of its own,
// which backend.Loop walks: it closes the driver, runs what was posted, and then has the engine end the rest, here.
// Streams and dials end with the cause, and listeners move to another loop or end. All callbacks run as on the loop; if
// one of them calls Goexit, too, bury is called again and goes on.

// run runs a loop on a goroutine of its own.
func (e *Engine) run(l *loop, started chan<- error) {
	defer e.running.Done()
	if e.trace {
		l.label()
	}
	_ = l.Post(backend.TaskFunc(func() { started <- l.Err() })) // it runs also if the loop cannot start
	_ = l.Run()                                                 // which has buried the loop if it died
}

// culprit names the callback that was entered last.
func (l *loop) culprit() string { return l.describe(l.entered) }

// bury ends what was on a loop that has died.
func (l *loop) bury(err error) {
	e := l.engine
	cause := fmt.Errorf("loop %d has ended: %w", l.index, err)
	if !l.dead.Swap(true) && l.Turn() > 0 {
		e.log.Error("tandem: a loop has ended; its streams are reset", "loop", l.index, "streams", l.live.Load(), "error", err)
	}
	l.endTimers()
	e.buryAll(l, cause)
	l.Show() // before anybody learns of it
	e.loopGone(cause)
}

// buryAll ends streams, dials and listeners. It can be called again after it was interrupted.
func (e *Engine) buryAll(l *loop, cause error) {
	for _, a := range l.listening.list() {
		a.loopDied(cause)
	}
	for len(l.dialing) > 0 {
		for d := range l.dialing {
			if d.given {
				d.loopDied()
			} else {
				d.stream.die(d.failure(cause))
			}
			delete(l.dialing, d) // only now, so that it is found again if a callback ends the goroutine
		}
	}
	for len(l.streams) > 0 {
		s := l.streams[len(l.streams)-1]
		s.die(cause)
		l.remove(s) // in any case
	}
	l.tight = nil
}

// die ends a stream whose loop has.
func (s *Stream) die(cause error) {
	s.mu.Lock()
	d, off := s.opts.dial, s.life.handOff()
	if s.life.phase == detaching {
		s.life.move(releasing) // what the driver had of it is gone: the Conn cannot go on behind that
	}
	if off == nil && s.life.phase < ending {
		s.life.reset, s.life.blamed = true, false
		s.rx.flow.Or(flowShut)
		why := cause
		if d == nil { // a dial has said already what has failed
			why = s.opErrorLocked("read", cause)
		}
		s.life.end(why)
	}
	s.mu.Unlock()
	switch {
	case off != nil:
		if !off.isLive() {
			s.mu.Lock()
			s.dropQueueLocked()
			s.mu.Unlock()
			off.lose(cause)
			s.handOver()
		}
		if s.waitsForRest() {
			s.restSent(0, cause)
		}
	case d != nil:
		d.loopDied()
		s.finish()
	default:
		s.finish()
	}
}

// loopGone counts a loop that has failed. When none is left, the engine has failed.
func (e *Engine) loopGone(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone++
	if e.gone == len(e.loops) {
		e.err = cause
		e.overLocked()
	}
}

// overLocked closes done, once. mu is held.
func (e *Engine) overLocked() {
	if !e.over {
		e.over = true
		close(e.done)
	}
}

// end says that everything is gone.
func (e *Engine) end() {
	e.watch.stop()
	e.mu.Lock()
	e.overLocked()
	e.mu.Unlock()
	close(e.ended)
}

// Done is closed when no loop is left: because all of them have failed, or when a Shutdown or Close has ended.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err returns nil while a loop is left; then why the last of them failed, or net.ErrClosed after a Shutdown or Close.
func (e *Engine) Err() error {
	select {
	case <-e.done:
	default:
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		return net.ErrClosed
	}
	return fmt.Errorf("tandem: %w", e.err)
}
