package modeltest

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
)

// checkAll checks what always holds.
func (w *world) checkAll() {
	if w.err != nil {
		return
	}
	for _, s := range w.streams {
		s.check()
	}
	for _, p := range w.peers {
		p.check()
	}
	for _, c := range w.conns {
		c.check()
	}
	for _, l := range w.listeners {
		l.check(w)
	}
}

func (l *listener) check(w *world) {
	s := l.l.Stats()
	switch {
	case w.p.MaxConns > 0 && s.Streams > w.p.MaxConns:
		w.failf("S28: %d streams; MaxConns is %d", s.Streams, w.p.MaxConns)
	case s.Parked > 64:
		w.failf("S28: %d connections are parked", s.Parked)
	case l.opened > l.dials:
		w.failf("S28: %d streams were opened, of %d connections", l.opened, l.dials)
	case l.l.Err() != nil && !l.closed && !w.down && len(w.failing) == 0 && !(isScarce(l.l.Err()) && w.scarce()):
		w.failf("S29: a listener has ended: %w", l.l.Err())
	}
}

// until takes steps until fn reports true, and says what has not come after too many of them in which nothing has moved.
func (w *world) until(what string, steps int, fn func() (string, bool)) {
	missing := ""
	for i, last, moved := 0, 0, 0; i-last < steps && i < 20*steps; i++ {
		var ok bool
		if missing, ok = fn(); ok || w.err != nil {
			return
		}
		w.step(50 * time.Millisecond)
		if n := w.moves(); n != moved {
			last, moved = i, n
		}
	}
	w.failf("a hang, at the end of %s: %s has not come", what, missing)
}

// finish heals the world, waits until everything has come that has to, and ends it. If operations are left for the end,
// that comes at once.
func (w *world) finish() {
	w.heal()
	if w.p.Late == 0 {
		w.until("the program", 20_000, w.settled)
		w.quiet()
	}
	w.endEngine()
	w.dead = true // time has to pass without the engine
	for w.pc < w.ready() && w.err == nil {
		w.perform(w.p.Ops[w.pc])
	}
	w.heal() // once more
	w.closeConns()
	w.checkAll()
	w.checkEnd()
}

// heal ends all misbehaviour.
func (w *world) heal() {
	if w.err != nil {
		return
	}
	w.healed = true
	w.k.SetFaults(simulated.Faults{})
	w.k.Shortage(nil)
	for _, p := range w.peers {
		p.stop(false)
		p.p.Vanish(false)
	}
}

// quiet checks that loops on which nothing can move do not turn.
func (w *world) quiet() {
	if w.err != nil || w.dead {
		return
	}
	for _, s := range w.streams {
		if s.s == nil {
			continue
		}
		for _, t := range s.timers {
			if t.every > 0 {
				s.stop(t)
			}
		}
	}
	for range 20 { // until there are three seconds in which nothing moves
		before, turns, from := w.moves(), w.turns(), w.now()
		for i := 0; i < 400 && w.now()-from < 3*time.Second; i++ {
			w.step(time.Second)
		}
		if w.moves() != before {
			continue
		}
		if took, n := w.now()-from, w.turns()-turns; took < 3*time.Second || n > 61*uint64(len(w.drivers)) {
			w.failf("S40: %d turns in %v, in which nothing could move", n, took)
		}
		break
	}
	w.checkBytes()
}

// moves is a number that changes if anything moves.
func (w *world) moves() int {
	n := w.bytes() + int(w.opened)
	for _, m := range w.streams {
		n += m.closes
	}
	return n
}

func (w *world) turns() uint64 { return w.e.Stats().Turns }

// checkBytes checks that the figures add up.
func (w *world) checkBytes() {
	s := w.e.Stats()
	held := uint64(0)
	for _, m := range w.streams {
		if m.s != nil && !m.over() {
			held += uint64(m.s.Buffered())
		}
	}
	known := s.BytesDelivered + s.BytesDropped + s.TLSOverhead + held
	if len(w.failing) == 0 && s.BytesIn != known && !(w.p.TLS && s.Streams > 0 && s.BytesIn > known) { // some may not be decrypted yet
		w.failf("S35: %d bytes in; %d delivered, %d dropped, %d held", s.BytesIn, s.BytesDelivered, s.BytesDropped, held)
	}
	if s.Panics != w.panics {
		w.failf("S35: %d panics; want %d", s.Panics, w.panics)
	}
	sent := uint64(0)
	for _, e := range w.ends {
		sent += uint64(e.sent())
	}
	if s.BytesIn > sent && !w.p.TLS {
		w.failf("S35: %d bytes in, of %d", s.BytesIn, sent)
	}
}

// closeConns closes the connections that were detached.
func (w *world) closeConns() {
	for _, c := range w.conns {
		if !c.isClosed() {
			c.do(c.close)
		}
		c.stop = true
		close(c.todo)
	}
	for _, c := range w.conns {
		w.goAsync("the end of the Conn of "+c.m.String(), c.done.Wait)
	}
	w.until("the connections", 5000, w.returned)
	for i := 0; i < 2000 && w.k.OpenDescriptors() > 0; i++ {
		w.step(10 * time.Millisecond)
	}
	if limits[w.p.Options].CloseTimeout < 0 { // two Conns may wait for each other for ever, when both were closed
		for _, c := range w.conns {
			_ = c.c.(interface{ NetConn() net.Conn }).NetConn().Close()
		}
	}
	for range 10 {
		w.step(10 * time.Millisecond)
	}
}

// checkEnd checks what holds when everything has ended.
func (w *world) checkEnd() {
	for len(w.taken) > 0 {
		w.release(0)
	}
	s := w.e.Stats()
	closed := uint64(0)
	for _, m := range w.streams {
		if m.s == nil {
			continue
		}
		m.checkOver()
		if m.opened && m.over() {
			closed++
		}
	}
	if s.Opened != s.Closed || s.Opened != w.opened || closed != w.opened {
		w.failf("S35: %d opened, %d closed; OnOpen ran %d times, and OnClose of %d of these", s.Opened, s.Closed, w.opened, closed)
	}
	w.checkBytes()
	if n := w.k.OpenDescriptors(); n != 0 {
		w.failf("S36: %d descriptors are open", n)
	}
	for i, d := range w.drivers {
		if out := d.Outstanding(); out != (backend.Outstanding{}) && w.failing[i] == nil {
			w.failf("S36: driver %d has %+v", i, out)
		}
	}
	if err := w.shutdown; err != nil && w.p.End == 0 && len(w.failing) == 0 {
		w.failf("S32: Close: %w", err)
	}
	for _, l := range w.listeners {
		if l.l.Err() == nil {
			w.failf("S32: a listener lives")
		}
	}
}

// checkOver checks a stream after the end of everything.
func (m *stream) checkOver() {
	w := m.w
	if m.closes != 1 {
		m.failf("S02: OnClose was called %d times", m.closes)
	}
	for _, p := range m.posts {
		if p.ran != 1 {
			m.failf("S02: a function of Post has run %d times", p.ran)
		}
	}
	if _, err := m.s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		m.failf("S20: Write after the end: %w", errOrNil(err))
	}
	p := m.peer()
	if p == nil || p.over || w.trouble || p.vanished {
		return
	}
	// A peer that has sent what nobody read gets a reset: by the kernel, which may destroy what the peer has not read.
	unread := m.in.off < p.sent()
	switch got := p.p.Err(); {
	case m.detached:
		m.checkConn(p)
	case m.closeErr == nil && !unread && (got != nil || p.read != m.sent() || !p.p.EOF()):
		m.failf("S16: OnClose(nil), and its peer got %d bytes of %d, EOF %v, error %v", p.read, m.sent(), p.p.EOF(), got)
	case (m.opened || m.how == adopted && !m.closing) && m.abortedWith(m.closeErr) && !m.unix && !errors.Is(got, syscall.ECONNRESET):
		m.failf("S17: it was aborted, and its peer got %v", got)
	}
}

// checkConn checks what came of a connection that was detached.
func (m *stream) checkConn(p *peer) {
	for _, c := range m.w.conns {
		if c.m != m {
			continue
		}
		in := m.in
		if c.in.off > 0 {
			in = c.in
		}
		if m.opts.CloseTimeout > 0 && p.held >= m.opts.CloseTimeout {
			continue // it may have seen a reset
		}
		if got := p.p.Err(); in.off == p.sent() && (got != nil || p.read != m.sent()) {
			m.failf("S30: it was detached, and its peer got %d bytes of %d, and %v", p.read, m.sent(), got)
		}
	}
}
