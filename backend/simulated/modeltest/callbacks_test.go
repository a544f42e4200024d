package modeltest

import (
	"time"

	"github.com/tandem-io/tandem/session"
)

// handler is the Handler of every stream. It performs what has waited for a callback, and reads as the program says.
type handler struct {
	w    *world
	from *listener // of streams that it accepted
	m    *stream   // of one that was dialled or adopted
}

// drainer is a handler that ends its streams itself.
type drainer struct{ handler }

func (h *handler) stream(s *session.Stream) *stream {
	m := h.w.of[s]
	if m == nil {
		h.w.failf("S02: a callback of a stream that nobody knows")
		m = h.w.newStream(s, accepted, s.Options())
		m.handle = h
	}
	if m.handle != h {
		m.failf("a callback of a handler that was replaced")
	}
	return m
}

// OnOpen implements session.Handler.
func (h *handler) OnOpen(s *session.Stream) {
	if h.m != nil && h.m.s == nil { // Connect has not returned
		h.m.s = s
		h.w.of[s] = h.m
	}
	if h.w.of[s] == nil && h.from != nil {
		m := h.w.newStream(s, accepted, s.Options())
		m.from, m.handle, m.unix = h.from, h, h.from.unix
		h.from.opened++
	}
	m := h.stream(s)
	defer m.enter("OnOpen", false)()
	h.w.opened++
	if m.opened {
		m.failf("S02: OnOpen again")
	}
	if m.aborts || m.closing {
		m.failf("S02: OnOpen of a stream that was closed")
	}
	m.opened = true
	m.checkTLS()
	m.move()
	if s.LocalAddr() == nil || s.RemoteAddr() == nil {
		m.failf("S30: an address is nil in OnOpen")
	}
	h.w.meet(m)
	defer func() { m.running = true }()
	h.w.offer(Open, m)
}

// OnData implements session.Handler.
func (h *handler) OnData(s *session.Stream) {
	m := h.stream(s)
	defer m.enter("OnData", false)()
	m.onData()
	if first := h.w.p.Seed/2%2 == 1; first { // half of the programs end streams only when they have read
		h.read(m)
		h.w.offer(Data, m)
	} else {
		h.w.offer(Data, m)
		h.read(m)
	}
	if ends := m.ends; ends != nil && !m.endedByUser() {
		m.ends = nil
		m.opNext(m.s.Buffered())
		ends()
	}
	if n := h.w.p.Answers; n > 0 && m.answers < 20 && !m.endedByUser() { // not for ever, if both ends do it
		m.answers++
		m.opWrite(n)
	}
	m.calm = !m.paused && m.s.Writable() && !m.endedByUser()
}

// read reads as the program says.
func (h *handler) read(m *stream) {
	if m.endedByUser() {
		return
	}
	reads := h.w.p.Reads
	if reads > 2 {
		reads = (m.number + m.in.off) % 3
	}
	switch reads {
	case 0:
		m.opNext(m.s.Buffered())
	case 1:
		m.opNext((m.s.Buffered() + 1) / 2)
	}
}

// OnEOF implements session.Handler.
func (h *handler) OnEOF(s *session.Stream) {
	m := h.stream(s)
	defer m.enter("OnEOF", false)()
	m.onEOF()
	h.w.offer(EOF, m)
	if !m.opts.AllowHalfClose {
		m.closedNow(false)
	}
}

// OnWritable implements session.Handler.
func (h *handler) OnWritable(s *session.Stream) {
	m := h.stream(s)
	defer m.enter("OnWritable", false)()
	m.onWritable()
	h.w.offer(Writable, m)
}

// OnClose implements session.Handler.
func (h *handler) OnClose(s *session.Stream, err error) {
	if h.m != nil && h.m.s == nil {
		h.m.s = s
		h.w.of[s] = h.m
	}
	m := h.stream(s)
	defer m.enter("OnClose", false)()
	m.onClose(err)
	h.w.offer(Closed, m)
}

// OnDrain implements session.Drainer.
func (d *drainer) OnDrain(s *session.Stream) {
	m := d.stream(s)
	defer m.enter("OnDrain", false)()
	m.after(time.Millisecond, func() { m.opClose() })
}

// closedNow follows what comes to a Close.
func (m *stream) closedNow(staged bool) {
	if m.closing || m.detached || m.over() || len(m.causes) > 0 || m.panicked {
		return
	}
	m.closing, m.staged, m.since = true, staged, m.w.now()
}
