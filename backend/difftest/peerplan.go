package difftest

// peer plans what a stream's peer does at once.
func (l *planner) peer(ops ...Op) {
	step := step{stream: ops[0].Stream, join: ops[len(ops)-1].Join}
	for _, o := range ops {
		if a, ok := l.peerOp(o); ok {
			l.ids++
			step.ops = append(step.ops, a)
		}
	}
	if len(step.ops) > 0 {
		l.add(step)
	}
}

// peerOp follows one operation of a peer. It reports false if the operation is left out.
func (l *planner) peerOp(o Op) (action, bool) {
	s := &l.m[o.Stream]
	a := action{Op: o, id: l.ids, to: o.Stream}
	if s.reset {
		return a, false
	}
	switch o.Kind {
	case PeerWrite:
		if s.finished || s.phase == closing || s.phase == over && (!s.conn || s.connClosed) {
			return a, false
		}
		a.n = sizes[int(o.Arg)%len(sizes)]
		s.sent += a.n
		a.waits = s.unread()-s.held <= handedOn
	case PeerFinish:
		if s.finished || s.mayStop() {
			return a, false
		}
		s.finished = true
	case PeerReset:
		return a, l.resets(s, o.Stream)
	case PeerStop:
		if s.stopped || s.phase != alive {
			return a, false
		}
		s.stopped = true
	case PeerRead:
		if !s.stopped {
			return a, false
		}
		if s.flooded && s.phase == alive {
			s.writableLo++
			s.writableHi++
		}
		s.stopped, s.flooded = false, false
	}
	return a, true
}

// resets follows a reset by the peer, which is the end of its reading, too. It reports false if kernels differ in what
// comes of it: a stream that does not read because it holds too much may learn of it or not.
func (l *planner) resets(s *state, i int) bool {
	if s.finished && s.fin && !s.Unix {
		return false // both sides have finished: whether anything is left to reset is a matter of moments
	}
	if s.mayStop() || s.phase == over && s.conn && s.unread() > 0 {
		return false
	}
	end := s.Unix && !s.flooded && s.out == s.outRead // it has read everything: the kernel makes a FIN of it
	if end && s.phase == alive && s.unread()-s.held > handedOn {
		return false // what the peer has not sent yet may be lost
	}
	s.reset = true
	w := &l.loose[i]
	l.loosenOut(i) // it does not look any longer
	flooded, reading := s.flooded, s.reading()
	s.flooded, s.stopped = false, false
	if s.phase == over {
		return true
	}
	if end { // and writes fail
		s.finished, s.dead = true, true
		return true
	}
	w.gone = w.gone || flooded || s.Unix || s.finished // behind a FIN the kernel calls it EPIPE
	if !reading || s.keep || s.unread() > handedOn {
		l.loosenIn(i)
	}
	w.seen[len(l.steps)] = true
	s.phase = over
	s.read = s.sent
	s.held = 0
	return true
}

// loosenIn says that of what the peer has written and nobody read only so much need be delivered as the stream may hold.
func (l *planner) loosenIn(i int) {
	s := &l.m[i]
	if most := min(s.limit(), handedOn); s.unread() > most {
		w := &l.loose[i]
		w.in, w.inFrom, w.inStep = true, s.read-s.taken+min(s.held, most), len(l.steps)
	}
}

// conn plans what is done with a Conn that Detach has returned.
func (l *planner) conn(o Op) {
	s := &l.m[o.Stream]
	a := action{Op: o, id: l.ids, to: o.Stream}
	if !s.conn || s.connClosed {
		return
	}
	switch o.Kind {
	case ConnWrite:
		a.n = max(sizes[int(o.Arg)%len(sizes)], 1)
		switch {
		case s.flooded: // it would wait
			return
		case s.fin || s.connShut:
		case s.reset, s.stopped && s.out-s.outRead+a.n > fits:
			return
		default:
			s.out += a.n
		}
	case ConnRead:
		a.n = amounts[int(o.Arg)%len(amounts)]
		if a.n < 0 || a.n > s.unread() {
			a.n = s.unread()
		}
		if s.reset || s.dead || a.n == 0 && !s.finished {
			return
		}
		s.read += a.n
	case ConnCloseWrite:
		if s.reset || s.dead || s.fin || s.connShut {
			return
		}
		s.connShut = true
	case ConnDeadline:
		if s.reset || s.dead {
			return
		}
	case ConnClose:
		if s.unread() > 0 {
			l.conn(Op{Kind: ConnRead, Stream: o.Stream, Arg: readAll})
		}
		if s.unread() > 0 {
			return
		}
		s.connClosed = true
	}
	l.ids++
	l.add(step{stream: o.Stream, ops: []action{a}})
}
