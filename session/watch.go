package session

import (
	"bytes"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// watch looks for callbacks that run for longer than Options.SlowCallback, and logs where they are. While any loop has
// callbacks it looks several times in that time, and asks each for a sign that it goes on; when all loops rest it ends, and
// the first callback after that begins it again. It has no goroutine between two looks.
type watch struct {
	engine *Engine
	slow   int64         // nanoseconds
	period time.Duration // between two looks
	alarm  *backend.Alarm
	ended  atomic.Bool  // nobody looks: begin is needed
	coarse atomic.Int64 // the time of the last look, on the first loop's clock; 0: nobody looks. Any goroutine may load it

	mu     sync.Mutex // guards what follows
	over   bool
	loops  []watched
	limit  logLimit
	spared int64 // no stack is taken before, on the first loop's clock
}

// watched is what is known of a loop.
type watched struct {
	asked bool
	since int64 // when, on the first loop's clock
	looks int   // that have found no answer since
	told  bool  // about the callback that does not answer
}

const (
	looksPerSlow = 8
	leastPeriod  = time.Millisecond

	// slowASecond is how many slow callbacks are logged in a second.
	slowASecond = 10

	// stackShare bounds what stacks cost: after one has been taken, none is for so many times as long as that took.
	stackShare = 20
)

func newWatch(e *Engine, slow time.Duration) *watch {
	w := &watch{engine: e, slow: int64(slow), period: max(slow/looksPerSlow, leastPeriod), limit: logLimit{burst: slowASecond}}
	w.alarm = backend.NewAlarm(e.clock, w.look)
	w.ended.Store(true)
	return w
}

// begin follows that a loop rests no longer. Any goroutine.
func (w *watch) begin() {
	if w.ended.Load() && w.ended.CompareAndSwap(true, false) {
		w.coarse.Store(w.engine.now())
		w.alarm.Set(w.period)
	}
}

// stop ends the watch for good, when the loops have ended.
func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.over = true
	w.coarse.Store(0)
	w.mu.Unlock()
	w.alarm.Stop()
}

// look looks at all loops.
func (w *watch) look() {
	for _, tell := range w.lookAtAll() {
		tell()
	}
}

// lookAtAll returns what there is to log.
func (w *watch) lookAtAll() (slow []func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil
	}
	loops := w.engine.loops
	if w.loops == nil {
		w.loops = make([]watched, len(loops))
	}
	now := loops[0].Clock()
	w.coarse.Store(now)
	for i, l := range loops {
		if took, ok := w.loops[i].isSlow(l, now, w.slow); ok {
			if tell := w.found(l, now, took); tell != nil {
				slow = append(slow, tell)
			}
		}
	}
	if w.allRest() {
		w.coarse.Store(0) // before somebody begins it again
		w.ended.Store(true)
		if w.allRest() || !w.ended.CompareAndSwap(true, false) { // one that has begun meanwhile has not seen it
			return slow
		}
	}
	w.alarm.Set(w.period)
	return slow
}

func (w *watch) allRest() bool {
	for _, l := range w.engine.loops {
		if !l.Resting() {
			return false
		}
	}
	return true
}

// isSlow looks at one loop, and reports, once, that it has given no sign for longer than slow. Time in which nobody
// looked, because the process or the machine stood still, does not count.
func (s *watched) isSlow(l *loop, now, slow int64) (took int64, ok bool) {
	switch {
	case l.Resting():
		*s = watched{}
	case !s.asked || !l.Unanswered():
		*s = watched{asked: true, since: now}
		l.Ask()
	default:
		s.looks++
		took = now - s.since
		if took >= slow && s.looks >= looksPerSlow/2 && !s.told {
			s.told = true
			return took, true
		}
	}
	return 0, false
}

// inCallback are parts of the names of functions that run callbacks.
var inCallback = func() (names [][]byte) {
	for _, name := range []string{".(*Stream).call", ".(*loop).call", ".(*tlsLayer).decrypt"} {
		names = append(names, []byte(reflect.TypeFor[Stream]().PkgPath()+name))
	}
	return names
}()

func isInCallback(stack []byte) bool {
	return slices.ContainsFunc(inCallback, func(name []byte) bool { return bytes.Contains(stack, name) })
}

// found counts a slow callback, and returns what logs it; nil if it is none, or if there are too many.
func (w *watch) found(l *loop, now, took int64) (tell func()) {
	running := call(l.current.Load())
	stack := []byte("not taken, because the last one has stopped the program for too long")
	if now >= w.spared {
		stack = l.Stack()
		if after := w.engine.loops[0].Clock(); after > now {
			w.spared = after + stackShare*(after-now)
		}
		switch {
		case !l.Unanswered():
			return nil // it has ended meanwhile: this may be where the next one is
		case stack == nil:
			stack = []byte("not found among so many")
		case !isInCallback(stack):
			return nil // the loop is busy with something else
		}
	}
	l.CountShared(backend.SlowCallbacks, 1)
	skipped, ok := w.limit.allow(now)
	if !ok {
		return nil
	}
	attrs := []any{"loop", l.index}
	if id := running.stream(); id != 0 {
		attrs = append(attrs, "stream", id)
	}
	attrs = append(attrs, "callback", running.callback().String(), "duration", time.Duration(took), "stack", string(stack),
		"skipped", skipped)
	return func() {
		w.engine.log.Warn("tandem: a callback runs for long, and the streams of its loop wait", attrs...)
	}
}
