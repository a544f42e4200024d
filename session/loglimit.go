package session

import "time"

// logLimit bounds how often one kind of message is logged: a burst at most in each second. It belongs to one loop, or is
// guarded by its user.
type logLimit struct {
	burst   int
	begin   int64 // of the present second, on a loop's clock; 0: nothing was logged yet
	n       int   // messages in it
	skipped int   // messages that were not logged since the last one that was
}

// allow reports whether a message may be logged now, and how many were skipped since the last one. now is the time on
// the loop's clock, in nanoseconds.
func (l *logLimit) allow(now int64) (skipped int, ok bool) {
	if l.begin == 0 || now-l.begin >= int64(time.Second) {
		l.begin, l.n = now, 0
	}
	if l.n >= max(l.burst, 1) {
		l.skipped++
		return 0, false
	}
	l.n++
	skipped, l.skipped = l.skipped, 0
	return skipped, true
}
