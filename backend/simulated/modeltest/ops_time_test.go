package modeltest

import (
	"time"

	"github.com/tandem-io/tandem/backend"
)

func (m *stream) opIdle(n int) {
	d := time.Duration(n) * time.Millisecond
	if m.idle == 0 && m.readIdle == 0 { // else it may have ended by one of these
		m.move()
	}
	if n%2 == 0 {
		m.s.SetIdleTimeout(d)
		shorten(&m.idle, d)
	} else {
		m.s.SetReadIdleTimeout(d)
		shorten(&m.readIdle, d)
	}
}

func (m *stream) opAfter(n int) { m.after(time.Duration(n)*time.Microsecond, func() {}) }

func (m *stream) after(d time.Duration, fn func()) {
	t := &timer{due: m.w.now() + d}
	m.timers = append(m.timers, t)
	t.t = m.s.After(d, func() { m.fired(t, "After", fn) })
}

func (m *stream) opEvery(n int) {
	d := time.Duration(n+1000) * time.Microsecond
	t := &timer{due: m.w.now() + d, every: d}
	m.timers = append(m.timers, t)
	t.t = m.s.Every(d, func() {
		m.fired(t, "Every", func() {})
		if t.fired >= 20 {
			m.stop(t)
		}
	})
}

// fired follows a timer.
func (m *stream) fired(t *timer, what string, fn func()) {
	defer m.enter(what, false)()
	now := m.w.now()
	t.fired++
	switch {
	case now < t.due:
		m.failf("S23: %s fires %v early", what, t.due-now)
	case t.stopped:
		m.failf("S23: %s fires, and was stopped", what)
	case t.every == 0 && t.fired > 1:
		m.failf("S23: After fires again")
	case m.over():
		m.failf("S23: %s fires after OnClose", what)
	}
	t.due += t.every // the next is due then at the earliest
	fn()
}

func (m *stream) opStop(n int) {
	if len(m.timers) > 0 {
		m.stop(m.timers[n%len(m.timers)])
	}
}

func (m *stream) stop(t *timer) {
	stopped := t.t.Stop()
	if stopped && (t.stopped || t.every == 0 && t.fired > 0) {
		m.failf("S23: Stop says that it has stopped a timer that had been stopped or had fired")
	}
	if !stopped && !t.stopped && t.fired == 0 && !m.over() && !m.aborts && !m.refused && !m.endedByUser() {
		m.refuses() // only an end has stopped it already
	}
	t.stopped = t.stopped || stopped
}

func (m *stream) opSetHandler(n int) {
	if !m.running { // OnOpen is first
		return
	}
	m.handle = m.w.newHandler(m.from, m).base()
	m.s.SetHandler(m.handle)
	if m.s.Buffered() > 0 {
		m.again, m.expect = true, !m.detached
		if n%2 == 0 && !m.holds && m.w.onLoopOf(m) { // so that the bytes for the next call are others
			m.opNext(m.s.Buffered())
		}
	}
}

func (m *stream) opValue(n int) {
	m.s.SetValue(n)
	if m.s.Value() != n {
		m.failf("Value is %v; want %d", m.s.Value(), n)
	}
}

func (m *stream) opPanic(int) { panic(panicValue) }

// opOptions sets an option of the socket, reads it, and uses its descriptor.
func (m *stream) opOptions(n int) {
	ended := m.endedByUser() || m.over()
	o := backend.NoDelay(n%2 == 0)
	err := m.s.SetSocketOption(o)
	if c, rawErr := m.s.SyscallConn(); rawErr == nil {
		rawErr = c.Control(func(fd uintptr) {
			if fd == 0 {
				m.failf("a descriptor of number 0")
			}
		})
		if rawErr != nil && !ended && err == nil {
			m.failf("S20: Control: %w", rawErr)
		}
	}
	if err != nil {
		return // not connected, or not TCP, or over
	}
	if got, err := m.s.SocketOption(o); err == nil && got != o {
		m.failf("option %v is %v", o, got)
	}
}
