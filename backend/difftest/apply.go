package difftest

// batch is what the operations of one callback have done so far.
type batch struct {
	place   Place
	loop    bool // they run on the stream's loop
	alone   bool // there is one
	queued  int  // bytes that may be queued
	writes  int
	flushed bool // some of them may be with the kernel
	sure    bool // the queue has been above HighWater
	perhaps bool // it may have been
	ended   bool
	closed  bool // by Close
	stop    bool // what further operations would do is not the same everywhere
	names   []string
}

// sizes are those of writes, in bytes.
var sizes = [...]int{0, 1, 10, 100, 1000, 1024, 1025, 4096, 16 << 10, 16<<10 + 1, 65535, 65536, 65537, 100 << 10, 200 << 10, 300 << 10}

// amounts are those of reads.
var amounts = [...]int{-1, 0, 1, 7, 100, 1000, 2048, 4096, 30000, 1 << 20}

// readAll is an argument: it chooses -1 of amounts.
const readAll = 0

// begin follows what causes the callback.
func (l *planner) begin(s *state, b *batch, trigger int) {
	i := l.index(s)
	switch b.place {
	case InData:
		s.sent += trigger
		if s.keep {
			s.held += trigger
		} else {
			s.read += trigger
		}
	case InEOF:
		s.finished, s.eof = true, true
	case InWritable:
		s.out += trigger
		b.queued, b.flushed = trigger, true // less than LowWater may still be queued
		s.writableLo++
		s.writableHi++
	case InNotify:
		s.out += trigger
	case InClose:
		l.closes(s, i)
		s.phase = over
		b.ended, b.closed = true, true
	}
}

func (l *planner) index(s *state) int {
	for i := range l.m {
		if s == &l.m[i] {
			return i
		}
	}
	return -1
}

// apply follows one operation. It reports false if the operation is left out.
func (l *planner) apply(s *state, b *batch, a action) (action, bool) {
	switch {
	case b.stop, a.Kind.onLoop() && !b.loop:
		return a, false
	case a.Kind.reads():
		return l.reads(s, b, a)
	case a.Kind <= WriteNotify:
		a.n = sizes[int(a.Arg)%len(sizes)]
		ok := false
		a.n, a.refused, ok = s.admit(b, a.n)
		if ok {
			l.writes(s, b, &a)
		}
		return a, ok
	case a.Kind >= After && a.Kind <= Every:
		if s.conn { // OnClose may wait for a notification
			l.loose[l.index(s)].maybe[timerName(a.id)] = true
		}
		if a.Kind != Stopped {
			b.names = append(b.names, timerName(a.id))
		}
		return a, true
	case a.Kind.ends():
		return a, l.ends(s, b, a)
	}
	return a, l.others(s, b, a)
}

// others are the operations that do not end the stream.
func (l *planner) others(s *state, b *batch, a action) bool {
	switch a.Kind {
	case Flush:
		b.flushed = true
		return b.loop || !b.closed // else the stream may have ended meanwhile
	case CloseWrite:
		s.fin = s.fin || s.phase == alive
		if !b.loop {
			b.flushed = true
		}
	case Pause:
		if s.phase == alive {
			s.paused = true
		}
	case Resume:
		unknown := s.finished && !s.eof && s.flooded && !s.ReadWhileBlocked // whether the kernel has handed the FIN over is its choice
		if unknown || !b.loop && !b.alone {                                 // off the loop, deliveries would race with what follows
			return false
		}
		s.paused = s.paused && s.phase != alive
	case SetHandler:
		if a.keeps() && s.finished && !s.eof && s.unread() >= s.limit() {
			return false // how far it reads then, and so OnEOF, is the kernel's choice
		}
		s.keep = a.keeps()
	case Post:
		return b.loop || !b.ended // else the stream may have ended meanwhile
	case Idle:
		calm := s.phase == alive && !s.flooded && !s.dead && (s.unread() == 0 || s.keep && s.reading() && s.exact())
		if !calm || !b.alone || b.place > InTimer {
			return false
		}
		s.phase, b.ended, b.stop = over, true, true
	}
	return true
}

// admit decides whether a write is taken. It changes the size to one with which that is the same everywhere.
func (s *state) admit(b *batch, n int) (size int, refused, ok bool) {
	switch {
	case s.phase == alive && s.dead && n > 0 && s.reading() && s.finished && !s.eof:
		return n, false, false // it fails before OnEOF or behind it, as the kernel completes them
	case s.phase != alive || s.fin || s.dead:
		return n, false, true
	case s.flooded && s.SmallQueue:
		return n, true, true
	case s.flooded:
		if s.out-s.outRead > mostFlood {
			n = min(n, 1000)
		}
		return n, false, true
	case s.stopped && s.out-s.outRead+n > fits:
		if s.Tight && (!s.SmallQueue || b.queued == 0) {
			return flood, false, true
		}
		return max(fits-(s.out-s.outRead), 0), false, true
	case !s.SmallQueue || b.queued == 0 || b.queued+n <= smallQueue:
		return n, false, true
	case b.loop && b.queued < gathers && !b.flushed:
		return n, true, true
	}
	return smallQueue - b.queued, false, b.queued < smallQueue
}

// writes follows a write of a.n bytes.
func (l *planner) writes(s *state, b *batch, a *action) {
	taken := s.phase == alive && !s.fin && !a.refused
	if !taken {
		return
	}
	if a.Kind == WriteNotify {
		b.names = append(b.names, notifyName(a.id))
	}
	if s.dead {
		if a.n > 0 { // it fails, now or when the turn ends
			b.stop = true
			s.phase, b.ended = over, true
			l.loose[l.index(s)].gone = true
			l.loosenIn(l.index(s))
		}
		return
	}
	whole := b.queued < gathers && !b.flushed && b.loop // nothing of the batch has gone out yet
	s.out += a.n
	b.queued += a.n
	b.writes++
	b.perhaps = b.perhaps || b.queued > s.highWater()
	b.sure = b.sure || b.loop && (a.n > s.highWater() || whole && b.queued > s.highWater())
	b.flushed = b.flushed || b.queued >= gathers
	s.flooded = s.flooded || a.n == flood
}

// ends follows an operation that ends the stream.
func (l *planner) ends(s *state, b *batch, a action) bool {
	i := l.index(s)
	if !b.loop && b.closed && !s.flooded && a.Kind != Close {
		return false // the stream may have ended meanwhile
	}
	switch {
	case a.Kind == Panic && (b.place == InClose || s.phase == over):
		return false
	case s.phase == over, a.Kind == Detach && s.phase == closing:
		return true
	case a.Kind == Close:
		l.closes(s, i)
		b.closed = true
	case a.Kind == Detach:
		s.conn, s.phase = true, over
		b.stop = !b.loop
	default:
		l.aborts(s, b, i)
		b.stop = a.Kind == Panic
	}
	b.ended = true
	return true
}

// aborts follows Abort. A Unix socket has no reset: its peer sees one if bytes were left unread here.
func (l *planner) aborts(s *state, b *batch, i int) {
	dropped := b.loop && !b.flushed // what this batch has written did not go out
	if !dropped && b.queued > 0 || s.stopped && (s.out > s.outRead || s.fin) || s.flooded || b.flushed {
		l.loosenOut(i)
	}
	if s.Unix {
		l.loose[i].ends = true
	}
	if !dropped {
		for _, n := range b.names {
			l.loose[i].maybe[n] = true
		}
	}
	if dropped {
		s.out -= b.queued
	}
	s.flooded = false
	s.phase = over
}

// end follows the end of the callback.
func (l *planner) end(i int, b *batch) {
	s := &l.m[i]
	if b.place == InEOF && !s.AllowHalfClose {
		l.closes(s, i)
		b.ended = true
	}
	if b.ended {
		for _, n := range b.names {
			if isTimer(n) {
				l.loose[i].maybe[n] = true
			}
		}
	}
	mayEnd := b.ended || s.finished && !s.eof && !s.AllowHalfClose // OnEOF may come before OnWritable, and closes it
	switch {
	case s.flooded || !b.perhaps:
	case b.loop && b.sure && !mayEnd:
		s.writableLo++
		s.writableHi++
	case b.loop:
		s.writableHi++
	default:
		s.writableHi += b.writes
	}
}
