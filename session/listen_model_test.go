package session

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// listenModel is what a listener with MaxConns 2 on two loops should be like after some steps.
type listenModel struct {
	*stage
	l       *listener
	fds     []backend.Descriptor // of all connections
	streams int
	parked  int
	paused  bool
	waits   bool // for resources
	dead    int  // loops
	closed  bool
}

// listenSteps are what can happen to a listener, in any order.
var listenSteps = []struct {
	name string
	do   func(*listenModel)
}{
	{"pause", func(m *listenModel) { m.l.PauseAccept(); m.paused = true }},
	{"resume", func(m *listenModel) { m.l.ResumeAccept(); m.paused = false }},
	{"arrive", (*listenModel).arrive},
	{"leave", (*listenModel).leave},
	{"emfile", (*listenModel).emfile},
	{"retry", (*listenModel).retry},
	{"die", (*listenModel).die},
	{"close", func(m *listenModel) { _ = m.l.Close(); m.closed = true }},
}

func (m *listenModel) over() bool { return m.closed || m.dead == 2 }

// arrive has the driver report a connection, also one that was accepted just before accepting was switched off.
func (m *listenModel) arrive() {
	if m.over() {
		return
	}
	fd := m.connection()
	m.fds = append(m.fds, fd)
	m.parked++
	m.l.listenSockets()[0].Accepted(fd, backend.Address{}, nil)
}

// leave ends a stream.
func (m *listenModel) leave() {
	for _, l := range m.engine.loops {
		if len(l.streams) > 0 {
			_ = l.streams[0].Abort()
			m.streams--
			return
		}
	}
}

func (m *listenModel) emfile() {
	if m.over() || !m.accepting(m.l) {
		return
	}
	a := m.l.listenSockets()[0]
	m.of(a.sock.Descriptor).accepting = false
	a.Accepted(backend.Descriptor{}, backend.Address{}, syscall.EMFILE)
	a.loop.StartTimer(&a.timer, time.Hour) // only retry ends the wait
	m.waits = true
}

func (m *listenModel) retry() {
	if !m.over() && m.waits {
		a := m.l.listenSockets()[0]
		a.loop.StopTimer(&a.timer)
		a.retry()
		m.waits = false
	}
}

// die ends the loop that accepts, with its streams.
func (m *listenModel) die() {
	if m.over() {
		return
	}
	m.kill(m.l.listenSockets()[0].loop, errors.New("on purpose"))
	m.dead++
	m.streams, m.waits = 0, false
}

// settle is what the listener does by itself.
func (m *listenModel) settle() {
	if m.over() {
		m.parked = 0
	}
	for m.parked > 0 && !m.paused && m.streams < 2 {
		m.parked--
		m.streams++
	}
}

func (m *listenModel) check(name string) {
	m.turn()
	m.settle()
	accepts := !m.over() && !m.paused && !m.waits && m.streams < 2
	assert.Equal(m, accepts, m.accepting(m.l), "%s: accepting", name)
	assert.Equal(m, m.streams, m.l.Stats().Streams, "%s: streams", name)
	assert.Equal(m, m.parked, m.l.Stats().Parked, "%s: parked", name)
	onItsLoop := m.parked
	for _, l := range m.engine.loops {
		if !m.over() && l == m.l.listenSockets()[0].loop {
			assert.Equal(m, onItsLoop, l.Parked(), "%s: parked on the loop that accepts", name)
		} else {
			assert.Zero(m, l.Parked(), "%s: parked on another loop", name)
		}
	}
	switch err := m.l.Err(); {
	case !m.over():
		assert.NoError(m, err, name)
	case m.closed && m.dead < 2:
		assert.ErrorIs(m, err, net.ErrClosed, name)
	default:
		assert.Error(m, err, name)
	}
}

// end closes everything, and looks for what is left.
func (m *listenModel) end(name string) {
	_ = m.l.Close()
	m.closed = true
	for _, l := range m.engine.loops {
		l.each(func(s *Stream) { _ = s.Abort() })
	}
	m.turn()
	for _, fd := range m.fds {
		m.stage.closed(fd, name+": a connection")
	}
	a := m.l.listenSockets()[0]
	m.stage.closed(a.sock.Descriptor, name+": the socket")
	select {
	case <-a.gone:
	default:
		assert.Fail(m, "Close would wait for ever", name)
	}
	assert.Zero(m, m.l.waiting.Load(), name)
}

// TestListenerInEveryOrder does all steps in every order, up to four of them, and compares with the model after each.
func TestListenerInEveryOrder(t *testing.T) {
	n := len(listenSteps)
	for order := range n * n * n * n {
		m := &listenModel{stage: newStage(t, 2)}
		m.l = m.listenAt(fmt.Sprintf("@tandem-model-%d", order))
		m.arrive()
		m.check("arrive")
		var names []string
		for range 4 {
			step := listenSteps[order%n]
			order /= n
			names = append(names, step.name)
			step.do(m)
			m.check(strings.Join(names, ", "))
		}
		m.end(strings.Join(names, ", "))
		if t.Failed() {
			return
		}
	}
}

func (s *stage) listenAt(name string) *listener {
	s.Helper()
	l, err := s.engine.Listen("unix", name, BaseHandler{}, &ListenOptions{MaxConns: 2})
	require.NoError(s, err)
	s.turn()
	return l.(*listener)
}
