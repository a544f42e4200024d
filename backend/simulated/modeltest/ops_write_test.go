package modeltest

import (
	"errors"
	"net"

	"github.com/tandem-io/tandem/session"
)

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
	m.calm = m.calm && m.s.Writable()
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
// before it learns of that. What comes then may make the stream's user end it.
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
	switch n % 3 {
	case 1:
		m.ends = m.opClose
	case 2:
		m.ends = func() { m.opAbort(n) }
	}
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
