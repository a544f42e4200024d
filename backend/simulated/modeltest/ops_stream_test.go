package modeltest

import (
	"errors"
	"net"
	"time"

	"github.com/tandem-io/tandem/session"
)

// onStream is an operation on a stream, anywhere.
func onStream(fn func(m *stream, n int)) func(w *world, o Op) {
	return func(w *world, o Op) {
		if m := w.stream(o.On); m != nil && m.s != nil {
			fn(m, o.N)
		}
	}
}

// onItsLoop is an operation on a stream that belongs to its loop.
func onItsLoop(fn func(m *stream, n int)) func(w *world, o Op) {
	return onStream(func(m *stream, n int) {
		do := func() {
			if !m.holds { // else it would read what is behind bytes that a layer has read
				fn(m, n)
			}
		}
		if m.w.onLoopOf(m) || m.w.dead {
			do()
		} else {
			m.post(do)
		}
	})
}

// onLoopOf reports whether the caller is the stream's loop.
func (w *world) onLoopOf(m *stream) bool {
	if w.p.stepped() {
		return w.current == m.loop()
	}
	return !w.inFlight
}

// ended checks the error of a call on a stream that may have ended: nil exactly if it has not.
func (m *stream) ended(what string, err error) {
	switch ended := m.endedByUser() || m.over(); {
	case err == nil && ended:
		m.failf("S20: %s returns nil after the end", what)
	case err == nil:
	case !errors.Is(err, net.ErrClosed):
		m.failf("S20: %s: %w", what, err)
	case !ended:
		m.refuses()
	}
}

// checkEach checks what always holds of a stream.
func (m *stream) check() {
	if m.s == nil {
		return
	}
	queued, stats := m.s.Queued(), m.s.Stats()
	if m.encrypted() {
		m.checkSealed(queued, stats)
		return
	}
	if int(stats.BytesQueued) != m.queued {
		m.failf("S10: Stats says that %d bytes were written; want %d", stats.BytesQueued, m.queued)
	}
	switch known := int(stats.BytesSent) + queued; {
	case m.over(), m.detached, known == m.queued:
	case queued == 0 && m.endedByUser(): // the rest was dropped
	case queued == 0 && known < m.queued:
		m.refuses()
	default:
		m.failf("S10: %d bytes sent and %d queued; want %d", stats.BytesSent, queued, m.queued)
	}
	if m.over() && queued != 0 {
		m.failf("S10: %d bytes are queued after the end", queued)
	}
	m.checkMoved(stats.BytesSent)
	if queued > m.opts.HighWater && m.s.Writable() {
		m.failf("S10: Writable with %d bytes queued; HighWater is %d", queued, m.opts.HighWater)
	}
}

// checkMoved notes that bytes have moved since the last look: then, at the earliest.
func (m *stream) checkMoved(out uint64) {
	in := m.cameBytes
	if !m.over() && !m.detached {
		in = m.in.off + m.s.Buffered()
	}
	m.wasLate = m.wasLate || m.silent() // even if bytes have come since: the kernel's last ones, behind its end
	if in > m.cameBytes {
		m.cameBytes, m.came, m.moved = in, max(m.came, m.looked), max(m.moved, m.looked)
	}
	if out > m.wentBytes {
		m.wentBytes, m.moved = out, max(m.moved, m.looked)
	}
	m.looked = m.w.now()
}

// wrote follows a write of n bytes that took got, when so many were queued.
func (m *stream) wrote(what string, n, queued, got int, err error) {
	ended := m.endedByUser() || m.over() || m.fin
	full := queued > 0 && queued+n > m.opts.WriteBufferLimit
	mayBeFull := queued > 0 && queued+m.sealed(n) > m.opts.WriteBufferLimit
	switch {
	case err == nil && got != n:
		m.failf("S07: %s took %d bytes of %d", what, got, n)
	case err != nil && got != 0:
		m.failf("S07: %s took %d bytes, and %w", what, got, err)
	case err == nil && ended:
		m.failf("S20: %s returns nil after the end", what)
	case err == nil && full:
		m.failf("S07: %s of %d bytes with %d queued; the limit is %d", what, n, queued, m.opts.WriteBufferLimit)
	case errors.Is(err, session.ErrWriteBufferFull) && (!mayBeFull || ended):
		m.failf("S07: %s of %d bytes with %d queued: %w", what, n, queued, err)
	case errors.Is(err, net.ErrClosed) && !ended:
		m.refuses()
	case err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, session.ErrWriteBufferFull):
		m.failf("S20: %s: %w", what, err)
	}
	if err == nil {
		m.accept(n)
	}
	if !m.s.Writable() && !ended && !m.over() {
		if err == nil && !m.episode && !m.encrypted() && queued+n <= m.opts.HighWater && m.w.failing[m.loop()] == nil {
			m.failf("S10: not Writable after %s of %d bytes with %d queued; HighWater is %d", what, n, queued, m.opts.HighWater)
		}
		m.episode = true
	}
}

// exactly makes of some sizes those with which the queue ends at one of its limits, or next to it.
func (m *stream) exactly(n int) int {
	limit := 0
	switch n % 100 {
	case 99:
		limit = m.opts.WriteBufferLimit
	case 64:
		limit = m.opts.HighWater
	case 3:
		limit = m.opts.HighWater + 1
	case 1:
		limit = m.opts.LowWater
	default:
		return n
	}
	if room := limit - m.s.Queued(); room >= 0 && room <= 10_000 {
		return room
	}
	return n
}

// accept follows that the stream has taken n bytes.
func (m *stream) accept(n int) {
	m.accepted.Add(int64(n))
	m.queued += n
}

// next are the next bytes that the stream is to send.
func (m *stream) next(n int) []byte { return sequence(m.number, m.sent(), n) }

// spoil overwrites memory that is the caller's again.
func spoil(bufs ...[]byte) {
	for _, p := range bufs {
		for i := range p {
			p[i] = 0xEE
		}
	}
}

func (m *stream) opWrite(n int) {
	n = m.exactly(n)
	p, queued := m.next(n), m.s.Queued()
	got, err := m.s.Write(p)
	m.wrote("Write", n, queued, got, err)
	spoil(p)
}

// opChoke has the queue go above HighWater, and the peer reset the connection behind n bytes, which the stream does not read
// before it learns of that.
func (m *stream) opChoke(n int) {
	p, buffer := m.peer(), m.w.p.Buffers
	if buffer == 0 {
		buffer = 1 << 16
	}
	size := (m.opts.HighWater+2*buffer)/100*100 + 150
	if p == nil || p.over || size > 300_000 {
		return
	}
	p.stop(true)
	m.opWrite(size)
	p.cut(min(n, buffer))
}

func (m *stream) opWritev(n int) {
	n = m.exactly(n)
	p, queued := m.next(n), m.s.Queued()
	bufs := net.Buffers{p[:n/3], nil, p[n/3 : n/2], p[n/2:]}
	if n%7 == 0 { // more than one call takes
		bufs = nil
		for i := 0; i < n; i += max(n/80, 1) {
			bufs = append(bufs, p[i:min(i+max(n/80, 1), n)])
		}
	}
	got, err := m.s.Writev(bufs)
	m.wrote("Writev", n, queued, int(got), err)
	spoil(p)
}

func (m *stream) opWritePart(n int) {
	p, queued := m.next(n), m.s.Queued()
	got, err := session.WritePart(m.s, p)
	ended := m.endedByUser() || m.over() || m.fin
	switch {
	case err == nil && ended && n > 0:
		m.failf("S20: WritePart returns nil after the end")
	case err != nil && got != 0, got < 0, got > n:
		m.failf("S07: WritePart took %d bytes of %d, and %w", got, n, errOrNil(err))
	case err != nil && !ended:
		m.refuses()
	}
	m.accept(got)
	if q := m.s.Queued(); got > 0 && q > max(m.opts.HighWater, queued)+m.sealed(got)-got {
		m.failf("S07: WritePart with %d bytes queued has left %d; HighWater is %d", queued, q, m.opts.HighWater)
	}
	if !m.s.Writable() && !ended {
		m.episode = true
	}
	spoil(p)
}

func (m *stream) opWriteNotify(n int) { m.writeNotify(m.exactly(n), func() {}) }

func (m *stream) writeNotify(n int, then func()) {
	p, queued := m.next(n), m.s.Queued()
	var note *notify
	err := m.s.WriteNotify(p, func(err error) {
		defer m.enter("a function of WriteNotify", true)()
		note.called++
		note.err = err
		m.told(note)
		then()
	})
	note = &notify{end: uint64(m.queued + n)}
	if err == nil {
		m.notifies = append(m.notifies, note)
	}
	m.wrote("WriteNotify", n, queued, map[bool]int{true: n}[err == nil], err)
	spoil(p)
}

// told follows a call of the function of a WriteNotify.
func (m *stream) told(note *notify) {
	switch {
	case note.called > 1:
		m.failf("S12: a function of WriteNotify is called again")
	case m.encrypted():
	case note.err == nil && m.s.Stats().BytesSent < note.end:
		m.failf("S12: WriteNotify says that %d bytes are sent, and %d are", note.end, m.s.Stats().BytesSent)
	case note.err != nil && m.s.Stats().BytesSent >= note.end:
		m.failf("S12: %d bytes were sent, and WriteNotify is told %w", note.end, note.err)
	}
	for _, other := range m.notifies {
		if other == note {
			break
		}
		if other.called == 0 {
			m.failf("S12: functions of WriteNotify are called out of order")
		}
	}
}

// opWriteBuffer takes bytes, puts the stream's next ones in their place and writes those.
func (m *stream) opWriteBuffer(n int) {
	b := m.take(n)
	if b == nil {
		return
	}
	p := b.Bytes()
	fill(p, m.number, m.sent())
	n, queued := len(p), m.s.Queued()
	err := m.s.WriteBuffer(b)
	m.wrote("WriteBuffer", n, queued, map[bool]int{true: n}[err == nil], err)
	if err != nil {
		b.Release()
	}
}

func (m *stream) opFlush(int) {
	err := m.s.Flush()
	if m.closing && !m.over() && err == nil {
		return // it is closing still
	}
	if m.closing && errors.Is(err, net.ErrClosed) {
		return
	}
	m.ended("Flush", err)
}

func (m *stream) opCloseWrite(int) {
	err := m.s.CloseWrite()
	m.ended("CloseWrite", err)
	if err == nil {
		m.fin = true
	}
}

func (m *stream) opClose() {
	if err := m.s.Close(); err != nil {
		m.failf("S16: Close: %w", err)
	}
	m.closedNow(false)
}

func (m *stream) opCloseInStages(int) {
	if err := session.CloseInStages(m.s); err != nil {
		m.failf("S16: CloseInStages: %w", err)
	}
	m.closedNow(true)
}

func (m *stream) opAbort(n int) {
	err, cause := error(nil), net.ErrClosed
	switch n % 3 {
	case 0:
		err = m.s.Abort()
	case 1:
		err, cause = m.s.AbortWith(errCause), errCause
	case 2:
		err = m.s.AbortWith(nil)
	}
	if err != nil {
		m.failf("S17: Abort: %w", err)
	}
	if m.over() || m.detached {
		return
	}
	m.causes = append(m.causes, cause)
	m.aborts = true
}

func (m *stream) opPause(int) {
	m.s.PauseRead()
	m.paused = true
}

func (m *stream) opResume(int) {
	if m.paused {
		m.again = true
		if m.w.onLoopOf(m) {
			m.expect = m.s.Buffered() > 0 && !m.detached
		}
	}
	m.paused = false
	m.s.ResumeRead()
}

func (m *stream) opPost(n int) {
	m.post(func() {
		if n%5 == 1 {
			m.w.k.Spend(time.Duration(n) * time.Microsecond)
		}
	})
}

func (m *stream) post(fn func()) {
	number := len(m.posts)
	p := &posted{}
	err := m.s.Post(func() {
		defer m.enter("a function of Post", true)()
		if p.ran++; p.ran > 1 {
			m.failf("S02: a function of Post runs again")
		}
		if number > 0 && m.posts[number-1].ran == 0 {
			m.failf("S02: functions of Post run out of order")
		}
		fn()
	})
	if err == nil {
		m.posts = append(m.posts, p)
	}
	if m.closing && !m.over() {
		return // it goes on until it is closed
	}
	m.ended("Post", err)
}

func (m *stream) opInspect(int) {
	s := m.s
	open := m.opened && !m.over()
	switch {
	case s.ID() == 0:
		m.failf("the ID is 0")
	case s.Options() != m.opts:
		m.failf("the options are %+v; want %+v", s.Options(), m.opts)
	case open && (s.LocalAddr() == nil || s.RemoteAddr() == nil):
		m.failf("S30: an address is nil")
	case session.Logger(s) == nil || session.Memory(s) == nil:
		m.failf("no logger, or no memory")
	}
}

// refuses notes that the stream has ended although nobody has ended it: its connection must have failed.
func (m *stream) refuses() {
	if !m.refused && !m.mayClose {
		m.refused, m.refusedIn = true, m.w.last
	}
}
