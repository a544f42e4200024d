package modeltest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

var errCause = errors.New("the cause that AbortWith was given")

const panicValue = "a panic on purpose"

// origin says how a stream has come to be.
type origin string

const (
	accepted origin = "accepted"
	dialled  origin = "dialled"
	adopted  origin = "adopted"
)

// stream is what the model knows of one stream.
type stream struct {
	w      *world
	s      *session.Stream
	number int // the number of its end
	how    origin
	from   *listener
	unix   bool
	opts   session.StreamOptions
	handle *handler // that is to get the next callback

	// Life.
	opened   bool // OnOpen was called
	running  bool // and has returned
	closes   int  // calls of OnClose
	closeErr error
	closed   time.Duration // when
	eof      int           // calls of OnEOF

	// What the user asked for.
	mayClose  bool // somebody may close it: a Shutdown
	closing   bool // Close, or what comes to it
	since     time.Duration
	staged    bool
	fin       bool    // CloseWrite
	causes    []error // of Abort
	panicked  bool
	aborts    bool // no callback may follow
	detached  bool
	holds     bool // and a layer has read bytes that are still unread
	paused    bool
	ends      func() // called by the next OnData
	refusedIn string
	refused   bool // it had ended when nobody had ended it: by a failure

	in       reader
	seen     int  // bytes that OnData has seen
	again    bool // OnData may be called without new bytes
	expect   bool // and has to be
	episode  bool // the queue was above HighWater: OnWritable may come
	blocked  bool // bytes came while it was: only of a connection that has failed
	accepted atomic.Int64
	queued   int // of these, bytes that the stream has accepted
	notifies []*notify
	posts    []*posted
	timers   []*timer

	moved     time.Duration // when a byte has moved last, as far as was seen
	idle      time.Duration // the shortest idle timeout, 0: none
	readIdle  time.Duration // the shortest for bytes that come, 0: none
	came      time.Duration // when one has come last
	looked    time.Duration // when it was looked at last
	wasLate   bool          // an idle timeout may have ended it
	cameBytes int
	wentBytes uint64
	answers   int  // that OnData has written
	calm      bool // nobody has done anything with it since the last OnData: all that comes is told at once
	turn      int  // of the last OnData
	turnReads int
	turnBytes int
	lastOp    string // of TestPairs
	dial      *dialResult
}

type notify struct {
	end    uint64
	called int
	err    error
}

type posted struct{ ran int }

type timer struct {
	t       *session.Timer
	due     time.Duration
	every   time.Duration
	fired   int
	stopped bool
}

func (w *world) newStream(s *session.Stream, how origin, opts session.StreamOptions) *stream {
	m := &stream{w: w, s: s, how: how, opts: opts, number: len(w.ends) + 1, mayClose: w.down}
	shorten(&m.idle, opts.IdleTimeout)
	shorten(&m.idle, opts.HalfCloseTimeout)
	shorten(&m.readIdle, opts.ReadIdleTimeout)
	w.ends = append(w.ends, m)
	w.streams = append(w.streams, m)
	if s != nil {
		w.of[s] = m
	}
	return m
}

func shorten(least *time.Duration, d time.Duration) {
	if d > 0 && (*least == 0 || d < *least) {
		*least = d
	}
}

func (m *stream) String() string { return fmt.Sprintf("%s stream %d", m.how, m.number) }

func (m *stream) sent() int { return int(m.accepted.Load()) }

func (m *stream) over() bool { return m.closes > 0 }

// endedByUser reports whether something was called that ends the stream.
func (m *stream) endedByUser() bool {
	return m.closing || len(m.causes) > 0 || m.panicked || m.detached
}

func (m *stream) troubled() bool {
	return m.over() || m.endedByUser() || m.mayClose || m.refused || m.w.failing[m.loop()] != nil
}

func (m *stream) loop() int {
	if m.s == nil {
		return 0
	}
	return m.s.Loop()
}

// inTrouble reports whether the connection may fail without anything that the model would see.
func (m *stream) inTrouble() bool {
	if m.w.trouble || m.dial != nil && m.dial.own != nil && m.dial.own.mayReset(m.w) {
		return true
	}
	if m.in.id > 0 && m.in.off >= header || m.in.id > 0 && m.how != dialled {
		return m.w.ends[m.in.id-1].troubled()
	}
	for _, e := range m.w.ends {
		if e != end(m) && e.troubled() {
			return true
		}
	}
	return false
}

func (m *stream) failf(format string, args ...any) {
	m.w.failf("%s: %w", m, fmt.Errorf(format, args...))
}

// enter begins a callback. leave ends it.
func (m *stream) enter(what string, promised bool) (leave func()) {
	w, loop := m.w, m.s.Loop()
	before, wasIn := w.inside[loop], w.current
	if before != 0 {
		m.failf("S02: %s inside of a callback of end %d", what, before)
	}
	switch {
	case m.over() && !(promised && !m.opened):
		m.failf("S02: %s after OnClose", what)
	case !m.running && !promised && what != "OnOpen" && what != "OnClose":
		m.failf("S02: %s before OnOpen has returned", what)
	case m.aborts && !promised && what != "OnClose":
		m.failf("S17: %s after Abort", what)
	}
	w.inside[loop], w.current = m.number, loop
	w.last = fmt.Sprintf("%s of %s", what, m)
	return func() {
		w.inside[loop], w.current = 0, wasIn
		if v := recover(); v != nil {
			if v == panicValue {
				m.wasPanic()
			}
			panic(v)
		}
	}
}

// wasPanic follows a panic on purpose.
func (m *stream) wasPanic() {
	m.w.panics++
	if !m.over() && !m.detached {
		m.panicked, m.aborts = true, true
	}
}

// onData follows OnData before anything is read.
func (m *stream) onData() {
	total := m.in.off + m.s.Buffered()
	switch {
	case m.paused:
		m.failf("S05: OnData during a pause")
	case m.closing:
		m.failf("S16: OnData after Close")
	case m.detached:
		m.failf("S30: OnData after Detach")
	case m.eof > 0 && !m.again:
		m.failf("S14: OnData after OnEOF")
	case m.s.Buffered() == 0:
		m.failf("S03: OnData without bytes")
	case total < m.seen:
		m.failf("S01: %d bytes have been seen, and there are %d", m.seen, total)
	case total == m.seen && !m.again:
		m.failf("S03: OnData for bytes that it has seen")
	}
	if !m.s.Writable() && !m.opts.ReadWhileBlocked {
		m.blocked = true
	}
	m.share(min(total-m.seen, m.s.Buffered())) // the rest was read without a call
	m.again, m.expect = false, false
	m.seen = total
	m.ahead()
}

// largestPiece is what a driver of the kernel reports at a time, at most.
const largestPiece = 4 << 10

// share checks the stream's share of a turn.
func (m *stream) share(n int) {
	if m.w.p.stepped() || m.w.down {
		return // a step is no turn, and a Shutdown makes turns of its own
	}
	if m.calm && n > m.opts.TurnBudget+largestPiece && m.w.p.Memory == 0 && !m.encrypted() && !m.inTrouble() {
		m.failf("S33: %d bytes came in a turn", n)
	}
	if m.turn != m.w.turn {
		m.turn, m.turnReads, m.turnBytes = m.w.turn, 0, 0
	}
	if m.turnReads++; m.turnReads > 16 {
		m.failf("S33: %d calls of OnData in a turn", m.turnReads)
	}
	if m.turnBytes >= m.opts.TurnBudget && n > 0 {
		m.failf("S33: %d bytes in a turn, and another OnData", m.turnBytes)
	}
	m.turnBytes += n
}

// ahead checks all that is unread.
func (m *stream) ahead() {
	p, err := m.s.Peek(-1)
	if err != nil {
		m.failf("Peek of everything: %w", err)
	}
	copied := m.in
	m.bad(copied.read(p))
	if n := len(p); n > m.opts.ReadBufferLimit+backend.MaxOvershoot {
		m.failf("S06: %d bytes are unread", n)
	}
}

func (m *stream) bad(err error) {
	if err != nil {
		m.failf("%w", err)
	}
}

// read follows that bytes were read.
func (m *stream) read(p []byte) {
	m.bad(m.in.read(p))
	m.w.claim(m)
}

// move begins to wait for bytes anew.
func (m *stream) move() { m.moved, m.came = m.w.now(), m.w.now() }

// onEOF follows OnEOF.
func (m *stream) onEOF() {
	m.eof++
	switch {
	case m.eof > 1:
		m.failf("S14: OnEOF again")
	case m.closing, m.detached:
		m.failf("S14: OnEOF after the end")
	}
	if m.in.id > 0 && m.in.off >= header {
		if e, total := m.w.ends[m.in.id-1], m.in.off+m.s.Buffered(); total > e.sent() {
			m.failf("S14: %d bytes came of %d that %s sent", total, e.sent(), e)
		} else if p, ok := e.(*peer); ok && p.finished && !p.over && total < e.sent() {
			m.failf("S14: OnEOF after %d bytes of %d that %s sent", total, e.sent(), e)
		}
	}
}

// onWritable follows OnWritable.
func (m *stream) onWritable() {
	switch {
	case !m.episode && !m.encrypted(): // whose handshake is in the queue, too
		m.failf("S10: OnWritable, and the queue was not above HighWater")
	case m.closing, m.detached:
		m.failf("S10: OnWritable after the end")
	case m.s.Queued() >= m.opts.LowWater, !m.s.Writable():
		m.failf("S10: OnWritable with %d bytes queued; LowWater is %d", m.s.Queued(), m.opts.LowWater)
	}
	m.episode = false
}

// onClose follows OnClose.
func (m *stream) onClose(err error) {
	w := m.w
	m.closes++
	m.closeErr, m.closed = err, w.now()
	if m.closes > 1 {
		m.failf("S02: OnClose again")
		return
	}
	m.reasonable(err)
	if m.opened {
		for i, p := range m.posts {
			if p.ran != 1 {
				m.failf("S02: function %d of Post has run %d times before OnClose", i, p.ran)
			}
		}
	}
	for _, n := range m.notifies {
		switch {
		case n.called != 1:
			m.failf("S12: a function of WriteNotify was called %d times", n.called)
		case n.err != nil && err != nil && n.err != err:
			m.failf("S12: WriteNotify was told %w, and OnClose %w", n.err, err)
		}
	}
	if !m.opened {
		return
	}
	if n := m.s.Buffered(); n > 0 {
		m.ahead()
	}
}
