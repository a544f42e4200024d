package difftest

// reads follows an operation that reads. What it reads must be the same everywhere: so there are either as many bytes for
// sure, or it is known how many there are.
func (l *planner) reads(s *state, b *batch, a action) (action, bool) {
	arg := int(a.Arg)
	if a.Kind == Echo || a.Kind == Copy {
		a.to, arg = arg%len(l.m), arg/len(l.m)
	}
	a.n = amounts[arg%len(amounts)]
	if a.Kind == Copy {
		a.n = -1
	}
	switch {
	case a.to >= l.opened:
		return a, false
	case b.ended && (b.place != InClose || s.unread() > 0): // after the end what was unread may be dropped or not
		return a, false
	case !s.exact() && (a.n < 0 || a.n > s.held):
		if s.held == 0 || a.Kind == Copy {
			return a, false
		}
		a.n = s.held
	case a.Kind == Read && s.unread() == 0 && s.finished && !s.eof: // io.EOF, if the loop knows already
		return a, false
	}
	n := s.unread()
	if a.n >= 0 {
		n = min(a.n, n)
	}
	switch {
	case a.Kind == Echo || a.Kind == Copy:
		return l.passes(s, b, a, n)
	case a.Kind == Peek, a.Kind == Take && a.n > n:
		return a, true
	}
	s.takes(n)
	return a, true
}

// passes follows bytes that are read and written.
func (l *planner) passes(s *state, b *batch, a action, n int) (action, bool) {
	if a.Kind == Echo && a.n > n || b.ended {
		return a, false
	}
	to, tb := &l.m[a.to], b
	if a.to != l.index(s) {
		tb = &batch{}
	}
	size, refused, ok := to.admit(tb, n)
	if !ok || size != n || to.dead {
		return a, false
	}
	a.refused = refused
	taken := to.phase == alive && !to.fin && !refused
	if a.Kind == Echo || taken {
		s.takes(n)
	}
	if n == 0 && a.Kind == Copy {
		return a, true
	}
	w := a
	w.n = n
	l.writes(to, tb, &w)
	if tb != b {
		l.end(a.to, tb)
	}
	return a, true
}

// takes follows that an operation has read n bytes.
func (s *state) takes(n int) {
	s.read += n
	s.taken += n
	s.held -= n
}
