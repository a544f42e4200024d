package modeltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// peer is the other side of a stream, if that is not a stream itself.
type peer struct {
	w        *world
	p        *simulated.Peer
	number   int
	unix     bool
	from     *listener // to which it was connected
	given    int       // bytes that it was asked to send
	finished bool
	over     bool // Close or Reset
	reset    bool
	vanished bool // once
	stopped  bool // it reads nothing, since then
	since    time.Duration
	held     time.Duration // the longest time that it has read nothing
	stream   *stream

	in   reader
	read int
}

func (w *world) newPeer(p *simulated.Peer, unix bool) *peer {
	q := &peer{w: w, p: p, number: len(w.ends) + 1, unix: unix}
	w.ends = append(w.ends, q)
	w.peers = append(w.peers, q)
	return q
}

func (p *peer) String() string { return fmt.Sprintf("peer %d", p.number) }
func (p *peer) sent() int      { return p.given }
func (p *peer) troubled() bool { return p.over || p.vanished || p.p.Err() != nil }

func (p *peer) failf(format string, args ...any) {
	p.w.failf("%s: %w", p, fmt.Errorf(format, args...))
}

func (p *peer) send(n int) {
	if p.over || p.finished {
		return
	}
	b := sequence(p.number, p.given, n)
	p.given += n
	p.p.Send(b)
}

// cut has the peer reset the connection when n more bytes have arrived.
func (p *peer) cut(n int) {
	p.send(n)
	p.over, p.reset = true, true
	p.p.Cut()
}

// stop has the peer read nothing, or go on.
func (p *peer) stop(on bool) {
	now := p.w.now()
	if p.stopped {
		p.held = max(p.held, now-p.since)
	}
	if on && !p.stopped {
		p.since = now
	}
	p.stopped = on
	p.p.Stop(on)
}

// check looks at what has come since.
func (p *peer) check() {
	all := p.p.Received()
	fresh := all[p.read:]
	p.read = len(all)
	if len(fresh) > 0 {
		if err := p.in.read(fresh); err != nil {
			p.failf("%w", err)
			return
		}
		p.meet()
	}
	if m := p.stream; m != nil {
		p.checkWith(m)
	}
}

// meet finds out who sends.
func (p *peer) meet() {
	if p.stream != nil || p.in.off < header {
		return
	}
	m, ok := p.w.ends[min(p.in.id, len(p.w.ends))-1].(*stream)
	if !ok || p.in.id > len(p.w.ends) {
		p.failf("S01: got bytes of end %d", p.in.id)
		return
	}
	p.w.pair(p, m)
}

// pair notes that a peer and a stream are connected.
func (w *world) pair(p *peer, m *stream) {
	switch {
	case p.stream == m:
		return
	case p.stream != nil, m.in.id != 0 && m.in.id != p.number:
		p.failf("S01: it has to do with %s, and that with end %d", m, m.in.id)
		return
	}
	p.stream = m
	if p.in.id == 0 {
		p.in.id = m.number
	}
	if m.in.id == 0 && !m.detached {
		m.in.id = p.number
	}
}

// claim follows that a stream has learned whose bytes it reads.
func (w *world) claim(m *stream) {
	if m.in.off < header || m.in.id == 0 {
		return
	}
	if m.in.id > len(w.ends) {
		m.failf("S01: got bytes of end %d", m.in.id)
		return
	}
	if m.in.off > w.ends[m.in.id-1].sent() {
		m.failf("S01: %d bytes came of %d that %s sent", m.in.off, w.ends[m.in.id-1].sent(), w.ends[m.in.id-1])
	}
	if p, ok := w.ends[m.in.id-1].(*peer); ok && p.stream != m {
		w.pair(p, m)
	}
}

// meet finds the peer of a stream that was accepted, by its address.
func (w *world) meet(m *stream) {
	for _, p := range w.peers {
		if a := p.p.Addr(); p.from != nil && !p.unix && a != nil && a.String() == m.s.RemoteAddr().String() {
			w.pair(p, m)
		}
	}
}

// meetAll is meet for peers that have learned only now that they are connected.
func (w *world) meetAll() {
	for _, m := range w.streams {
		if m.how == accepted && !m.unix && !m.over() && m.in.id == 0 {
			w.meet(m)
		}
	}
}

// checkWith compares what the peer has with what its stream was given.
func (p *peer) checkWith(m *stream) {
	if p.read > m.sent() {
		p.failf("S01: got %d bytes of %d that %s was given", p.read, m.sent(), m)
	}
	if !p.p.EOF() || p.over {
		return
	}
	if !m.fin && !m.endedByUser() && !m.over() && !m.mayClose && !m.refused && p.p.Err() == nil && !p.w.trouble && m.eof == 0 && m.idle == 0 && m.readIdle == 0 {
		p.failf("S15: the end of %s, which nobody has ended", m)
	}
	if p.read < m.sent() && p.p.Err() == nil && !p.unix && !m.detached && !p.w.trouble {
		p.failf("S16: the end after %d bytes of %d that %s was given", p.read, m.sent(), m)
	}
}

// target is a listener of the test's.
type target struct {
	l     *simulated.PeerListener
	unix  bool
	known int // of its peers
}

func (w *world) newTarget(unix bool) *target {
	network, address := "tcp", "127.0.0.1:0"
	if unix {
		network, address = "unix", fmt.Sprintf("/target/%d", len(w.targets))
	}
	l, err := w.k.Listen(network, address)
	if err != nil {
		w.failf("a target: %w", err)
		return nil
	}
	t := &target{l: l, unix: unix}
	w.targets = append(w.targets, t)
	return t
}

// arrivals makes peers of the connections that have come to targets.
func (w *world) arrivals() {
	for _, t := range w.targets {
		all := t.l.Peers()
		for _, p := range all[t.known:] {
			w.newPeer(p, t.unix)
		}
		t.known = len(all)
	}
	w.meetAll()
}

// listener is a Listener of the engine's.
type listener struct {
	l       session.Listener
	unix    bool
	dials   int
	opened  int
	closed  bool
	paused  bool
	handler session.Handler
}

// mayReset reports whether connections to the listener may have been reset, also before anybody has accepted them.
func (l *listener) mayReset(w *world) bool {
	if w.p.MaxConns > 0 && w.p.Reject || l.closed || w.down || l.l.Err() != nil {
		return true
	}
	return slices.ContainsFunc(w.streams, func(m *stream) bool { return m.from == l && m.troubled() })
}

// handlerOf is a handler with or without OnDrain.
type handlerOf interface {
	session.Handler
	base() *handler
}

func (h *handler) base() *handler { return h }

func (w *world) newHandler(from *listener, m *stream) handlerOf {
	h := handler{w: w, from: from, m: m}
	if w.p.Seed%2 == 0 {
		return &drainer{h}
	}
	return &h
}

// dialResult is how a dial may end.
type dialResult struct {
	errno   syscall.Errno // 0: it works
	first   syscall.Errno // of the first attempt, if the second fails too
	control error
	silent  bool
	timeout time.Duration
	began   time.Duration
	own     *listener // the engine's that was dialled; nil: none was
}

// check checks the error of a dial.
func (d *dialResult) check(m *stream, err error) {
	w := m.w
	var op *net.OpError
	var errno syscall.Errno
	var panicked *session.PanicError
	if !errors.As(err, &op) {
		m.failf("S26: the error of a dial is %T, %w", err, err)
		return
	}
	timeout := d.timeout != 0 && w.now()-d.began >= d.timeout
	switch errors.As(err, &errno); {
	case isScarce(err) && w.scarce():
	case d.control != nil && (errors.Is(err, d.control) || errors.As(err, &panicked)):
	case errors.Is(err, context.DeadlineExceeded) && timeout:
	case m.mayClose && errors.Is(err, net.ErrClosed):
	case op.Timeout() && (timeout || errno == syscall.ETIMEDOUT && w.now()-d.began > 100*time.Second):
	case errno == syscall.ECONNREFUSED && (d.errno == errno || w.trouble || d.first == errno && (w.scarce() || d.silent || w.anyReset())):
	case d.own != nil && w.p.TLS && (w.now()-d.began >= 10*time.Second || m.brokenTLS(err) && (w.scarce() || d.own.mayReset(w))):
	case errno == syscall.ECONNRESET && (w.trouble || w.anyReset() || d.own != nil && d.own.mayReset(w)):
	default:
		m.failf("S26: a dial has ended with %w", err)
	}
}

// scarce reports whether calls may fail that take a resource.
func (w *world) scarce() bool { return w.trouble || w.shortage || w.p.Files > 0 }

// anyReset reports whether a peer has reset a connection, perhaps one that a dial was about to have.
func (w *world) anyReset() bool {
	return slices.ContainsFunc(w.peers, func(p *peer) bool { return p.reset })
}
