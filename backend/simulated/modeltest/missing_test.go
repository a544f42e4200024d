package modeltest

import "time"

// settled reports whether nothing is missing.
func (w *world) settled() (what string, ok bool) {
	if what, ok := w.returned(); !ok {
		return what, false
	}
	for _, l := range w.listeners {
		if what := l.missing(w); what != "" {
			return what, false
		}
	}
	for _, s := range w.streams {
		if what := s.missing(); what != "" {
			return what + " of " + s.String(), false
		}
	}
	for _, p := range w.peers {
		if what := p.missing(); what != "" {
			return what + " of " + p.String(), false
		}
	}
	if n := w.bytes(); n != w.atRest {
		w.atRest, w.restSince = n, w.now()
	}
	return "rest", w.now()-w.restSince > 300*time.Millisecond
}

// bytes is how many have moved. It never falls.
func (w *world) bytes() int {
	s := w.e.Stats()
	n := int(s.BytesIn + s.BytesOut + s.BytesDelivered)
	for _, p := range w.peers {
		n += p.read
	}
	return n
}

// missing is what has not come of a listener.
func (l *listener) missing(w *world) string {
	if l.closed || w.dead || l.paused || w.trouble || w.scarce() || l.l.Err() != nil || l.full(w) {
		return ""
	}
	for _, p := range w.peers {
		if p.from == l && !p.over && !p.p.Connected() && p.p.Err() == nil {
			return "the connection of " + p.String()
		}
	}
	over := int(l.l.Stats().Rejected)
	for _, p := range w.peers {
		if p.from == l && p.over {
			over++
		}
	}
	for _, s := range w.streams {
		if s.how == dialled && s.dial.errno != 0 {
			over++ // it may have been one to this listener
		}
	}
	if l.opened < l.dials-over {
		return "OnOpen of a connection"
	}
	return ""
}

// full reports whether the listener has as many streams as it may have.
func (l *listener) full(w *world) bool {
	if w.p.MaxConns == 0 {
		return false
	}
	n := 0
	for _, s := range w.streams {
		if s.from == l && !s.over() {
			n++
		}
	}
	return n >= w.p.MaxConns
}

// missing is what has not come of a stream.
func (m *stream) missing() string {
	if m.s == nil {
		return ""
	}
	if m.over() {
		return m.missingBehind()
	}
	switch {
	case len(m.causes) > 0, m.panicked:
		return "OnClose"
	case m.closing && m.peer() == nil && m.opts.CloseTimeout <= 0:
		return "" // the other end may be a stream that reads nothing
	case m.closing:
		return "OnClose"
	case m.refused:
		return "OnClose, after it had refused " + m.refusedIn + ","
	case m.detached:
		return m.missingOfDetached()
	case m.how == adopted && !m.opened:
		return "OnOpen"
	case m.how == dialled && !m.opened:
		if m.dial.silent && m.dial.timeout == 0 {
			return ""
		}
		return "the end of the dial"
	}
	return m.missingOfOpen()
}

// missingOfDetached is what has not come of a stream whose connection was taken.
func (m *stream) missingOfDetached() string {
	for _, n := range m.notifies {
		if n.called == 0 {
			return "" // it waits for its bytes
		}
	}
	return "OnClose after Detach"
}

// missingBehind is what has not come of a Conn that has gone on after the stream: the end that CloseWrite asked for.
func (m *stream) missingBehind() string {
	p, w := m.peer(), m.w
	for _, c := range w.conns {
		if c.m == m && c.late {
			return "" // its queue waits until the deadline is moved
		}
	}
	if !m.detached || !m.fin || p == nil || p.troubled() || w.trouble || w.dead || len(w.failing) > 0 || p.p.EOF() {
		return ""
	}
	return "FIN behind CloseWrite and Detach"
}

func (m *stream) missingOfOpen() string {
	p := m.peer()
	for _, f := range m.posts {
		if f.ran == 0 {
			return "a function of Post"
		}
	}
	for _, t := range m.timers {
		if t.every == 0 && t.fired == 0 && !t.stopped {
			return "a timer"
		}
	}
	switch {
	case m.expect && !m.paused && m.s.Writable() && m.s.Buffered() > 0:
		return "OnData after ResumeRead or SetHandler"
	case p == nil:
		return m.missingOfTwin()
	case m.s.Queued() > 0 && !p.over:
		return "the end of its queue"
	case m.s.Queued() > 0:
		return "its failure"
	case !m.s.Writable():
		return "OnWritable"
	case m.paused:
		return ""
	case m.full(), p.over, m.w.memoryFull():
	case m.in.off+m.s.Buffered() < p.sent():
		return "bytes of the peer"
	case p.finished && m.eof == 0:
		return "OnEOF"
	}
	return ""
}

// full reports whether it may hold so much unread that it does not read.
func (m *stream) full() bool { return 2*m.s.Buffered() >= m.opts.ReadBufferLimit }

// memoryFull reports whether streams may hold so much that some of them do not read.
func (w *world) memoryFull() bool { return w.p.Memory > 0 }

// peer is the peer of a stream, if that is known and is one.
func (m *stream) peer() *peer {
	for _, p := range m.w.peers {
		if p.stream == m {
			return p
		}
	}
	return nil
}

// missing is what has not come of a peer.
func (p *peer) missing() string {
	m := p.stream
	switch {
	case m == nil, p.over, p.p.Err() != nil, m.detached, m.panicked, len(m.causes) > 0:
		return ""
	case m.over():
		if !p.p.EOF() && !p.p.Connected() {
			return ""
		}
		if !p.p.EOF() {
			return "the end"
		}
	case m.fin && !p.p.EOF():
		return "FIN"
	}
	return ""
}
