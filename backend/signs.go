package backend

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
)

// A loop shows another goroutine that it goes on. That costs it a load of memory where nobody asks: the other one asks,
// and comes back later. Either the loop has answered, because it has begun or ended a callback, or has polled; or it is
// still in whatever it was in.
//
//	watcher              loop
//	Resting? ◄────────── rest: sleeps, is between steps, or has ended
//	Ask ───────────────► Answer: ends a callback, or polls
//	Unanswered? ◄─────── Enter: begins a callback, and rests no longer
type signs struct {
	asked   atomic.Bool
	resting atomic.Bool
	quiet   bool          // the loop's: it rests, and no callback has begun since
	number  atomic.Uint64 // of the loop's goroutine
}

// Resting reports whether no callback runs, and none will without a call of LoopConfig.Roused. Any goroutine.
func (l *Loop) Resting() bool { return l.signs.resting.Load() }

// Ask asks the loop for a sign. Any goroutine.
func (l *Loop) Ask() { l.signs.asked.Store(true) }

// Unanswered reports whether the loop has given no sign since Ask. Any goroutine.
func (l *Loop) Unanswered() bool { return l.signs.asked.Load() }

// Enter says that a callback begins.
func (l *Loop) Enter() {
	if l.signs.quiet {
		l.rouse()
	}
	l.Answer()
}

// Answer says that the loop goes on, such as when a callback has ended.
func (l *Loop) Answer() {
	if l.signs.asked.Load() {
		l.signs.asked.Store(false)
	}
}

// rest says that there are no callbacks for a while.
func (l *Loop) rest() {
	if l.cfg.Roused != nil && !l.signs.quiet {
		l.signs.quiet = true
		l.signs.resting.Store(true)
	}
}

func (l *Loop) rouse() {
	l.signs.quiet = false
	l.signs.resting.Store(false)
	l.cfg.Roused()
}

// goroutineNumber is the number of the calling goroutine, as stack traces show it.
func goroutineNumber() uint64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if i := bytes.IndexByte(b, ' '); i > 0 {
		if n, err := strconv.ParseUint(string(b[:i]), 10, 64); err == nil {
			return n
		}
	}
	panic("backend: no goroutine number in the stack trace")
}

// mostStacks is how much memory the stacks of all goroutines may take, among which Stack looks for one.
const mostStacks = 64 << 20

// Stack returns the stack of the loop's goroutine, or nil if there is none, or so many that it is not found. It stops all
// goroutines while it looks. Any goroutine.
func (l *Loop) Stack() []byte {
	head := fmt.Appendf(nil, "goroutine %d [", l.signs.number.Load())
	for size := 64 << 10; size <= mostStacks; size *= 4 {
		buf := make([]byte, size)
		n := runtime.Stack(buf, true)
		if found := stackIn(buf[:n], head, n < size); found != nil || n < size {
			return found
		}
	}
	return nil
}

// stackIn finds the stack that begins with head. If all is not set, the last one may have been cut off.
func stackIn(stacks, head []byte, all bool) []byte {
	for len(stacks) > 0 {
		one, rest, more := bytes.Cut(stacks, []byte("\n\n"))
		if bytes.HasPrefix(one, head) && (more || all) {
			return bytes.Clone(one)
		}
		stacks = rest
	}
	return nil
}
