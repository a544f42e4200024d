package backend

import (
	"sync/atomic"
	"time"
)

// turnShare is how long tasks, and timers, may take of a turn.
const turnShare = int64(time.Millisecond)

// Clock reads the loop's monotonic clock, in nanoseconds. Any goroutine.
func (l *Loop) Clock() int64 { return int64(l.Time.Since(l.begin)) + 1 }

// TimeOf is the time at which Clock returned now. Any goroutine.
func (l *Loop) TimeOf(now int64) time.Time { return l.begin.Add(time.Duration(now - 1)) }

// Tick is Clock for the loop's goroutine, which remembers it: LastTick tells it again for nothing, and the first Tick
// after a sleep is when the turn began to work. Who measures callbacks calls it before and after each.
func (l *Loop) Tick() int64 {
	l.now = l.Clock()
	if l.awake == 0 {
		l.awake = l.now
	}
	return l.now
}

// LastTick is what Tick returned last, which may be long ago. It reads no clock.
func (l *Loop) LastTick() int64 { return l.now }

// LongestTurn is how long the longest turn has taken, sleep apart. What a turn that begins with a sleep does before the
// first Tick does not count. Any goroutine.
func (l *Loop) LongestTurn() time.Duration { return l.longest.Load() }

// measure ends a turn that worked, or did not. The next one begins here, unless it begins with a sleep.
func (l *Loop) measure(worked bool) {
	if !worked {
		l.awake = 0
		return
	}
	now := l.Clock()
	if l.awake != 0 {
		l.longest.Note(now - l.awake)
	}
	l.awake = now
}

// Longest is the longest of many times. One goroutine notes them, any goroutine may ask.
type Longest struct{ ns atomic.Int64 }

// Note takes a time into account, in nanoseconds, and reports whether it is the longest so far.
func (m *Longest) Note(ns int64) bool {
	if ns <= m.ns.Load() {
		return false
	}
	m.ns.Store(ns)
	return true
}

// Load is the longest time that was noted. Any goroutine.
func (m *Longest) Load() time.Duration { return time.Duration(m.ns.Load()) }

// share is what one kind of work has left of a turn. The clock is read before every piece of work, or every fourth as
// long as they are short.
type share struct {
	end, last int64
	skip      int
}

func (l *Loop) beginShare(now int64) { l.share = share{end: now + turnShare, last: now} }

// shareSpent is asked between two pieces of work.
func (l *Loop) shareSpent() bool {
	s := &l.share
	if s.skip > 0 {
		s.skip--
		return false
	}
	now := l.Tick()
	if now-s.last < turnShare/64 {
		s.skip = 3
	}
	s.last = now
	return now >= s.end
}
