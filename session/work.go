package session

import (
	"errors"
	"net"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Loop is one loop of a Transport, for work that belongs to none of its streams. Any goroutine may use it, also in
// callbacks; no method blocks. It stays valid after the loop has ended.
//
// Functions run on the loop's goroutine, one at a time, between the callbacks of its streams, and have to be as quick as
// these: the streams wait for them. A panic in one is logged and counted, and ends nothing; runtime.Goexit ends the loop,
// as in every callback.
type Loop struct{ loop *loop }

// Loop returns loop i, which is what [Stream.Loop] of its streams returns. As with a slice, it panics if there is none.
func (e *Engine) Loop(i int) Loop { return Loop{e.loops[i]} }

// Index is the number of the loop in its Transport, from 0 on.
func (h Loop) Index() int { return h.loop.index }

// Stats returns the loop's figures as of the end of its last turn.
func (h Loop) Stats() LoopStats { return loopStats(h.loop) }

// Post runs fn on the loop, once, soon, and after all that was posted to the loop before. Where many functions wait they
// get about a millisecond of each turn. Post returns net.ErrClosed once the loop has ended, and then fn does not run; what
// it has accepted runs also if the loop ends first. A Shutdown does not wait for functions that post themselves again.
//
// On a CallerDriven Transport fn runs in Poll, Shutdown or Close.
func (h Loop) Post(fn func()) error {
	if fn == nil {
		return errNoFunction
	}
	return h.loop.Post(backend.Func(fn))
}

// After runs fn on the loop, not before d has passed and as soon after as the loop is free. It returns net.ErrClosed, and
// a Timer that is stopped, once the loop has ended; one whose time has not come by then does not run, and no Shutdown
// waits for it.
func (h Loop) After(d time.Duration, fn func()) (*Timer, error) { return h.loop.newTimer(d, 0, fn) }

// Every runs fn on the loop every d, first in d, until it is stopped or the loop ends. The times do not drift; those that
// were missed because the loop was busy are dropped. d must be positive. The error is that of After.
func (h Loop) Every(d time.Duration, fn func()) (*Timer, error) {
	if d <= 0 {
		return nil, errors.New("tandem: Every: the period must be positive")
	}
	return h.loop.newTimer(d, int64(d), fn)
}

// Each calls fn, on the loop, for every stream of it whose OnOpen has returned and whose OnClose has not begun. In a
// callback of the same loop that happens at once, for the callback's own stream too, and Each returns when it is done.
// Elsewhere Each posts it, as Post does, and returns; thousands of streams take several turns then, in which functions
// that were posted later may run. Streams that open meanwhile are left out, and so are those that end.
//
// fn is a callback of the stream that it is given: it may read and write, and end it, and a panic resets that stream.
func (h Loop) Each(fn func(*Stream)) error {
	l := h.loop
	switch {
	case fn == nil:
		return errNoFunction
	case l.Stepping():
		l.visitInside(fn)
		return nil
	}
	return l.Post(&visit{loop: l, fn: fn})
}

// newTimer is newTimer of a stream, for the loop itself.
func (l *loop) newTimer(d time.Duration, every int64, fn func()) (*Timer, error) {
	if fn == nil {
		return nil, errNoFunction
	}
	t := &Timer{loop: l, fn: fn, every: every}
	err := net.ErrClosed
	if !l.OnLoop() || !l.timersOver && !l.Ending() {
		err = t.begin(d)
	}
	if err != nil {
		t.state.Store(timerStopped)
	}
	return t, err
}

// endTimers stops the loop's own timers, for good. They wait for no stream, so the loop does not wait for them.
func (l *loop) endTimers() {
	l.timersOver = true
	endTimers(&l.timers)
}

// visit calls a function for the streams of a loop, in as many turns as that takes.
type visit struct {
	loop *loop
	fn   func(*Stream)
	on   bool      // it has begun
	left []*Stream // for which fn has still to be called
}

var _ backend.Task = (*visit)(nil)

// Run implements backend.Task.
func (v *visit) Run() {
	if !v.on {
		v.on, v.left = true, append(v.left, v.loop.streams...)
	}
	begin := v.loop.Clock()
	for i := 1; len(v.left) > 0; i++ {
		s := v.left[0]
		v.left[0], v.left = nil, v.left[1:]
		if s.isOpened() {
			s.callEach(v.fn)
		}
		if len(v.left) > 0 && v.loop.hadShare(i, begin) && v.loop.Post(v) == nil {
			return // a loop that ends has no later turn
		}
	}
}

// visitInside calls fn for the streams of the loop, inside a callback, whose name it leaves as it was.
func (l *loop) visitInside(fn func(*Stream)) {
	outer := l.entered
	l.each(func(s *Stream) {
		if s.isOpened() {
			s.callEachInside(fn)
		}
	})
	l.goesOn(outer)
}

// isOpened reports whether the user knows the stream, and has not been told that it has ended. Loop only.
func (s *Stream) isOpened() bool { return s.running && !s.over }
