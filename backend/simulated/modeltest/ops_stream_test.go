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
			m.calm = false
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
	m.calm = m.calm && m.s.Writable()
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
