package session

import (
	"net"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
)

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
	longRow      = 32 // so many failed connections in a row are no accident
)

// failed follows an accept that failed. The driver has switched accepting off.
func (a *listenSocket) failed(err error) {
	a.listener.countFailure(a.loop)
	switch verdict, cure := backend.JudgeAccept(err); verdict {
	case backend.ConnectionFailed:
		if a.row++; a.row < longRow {
			a.tellDriver()
			return
		}
		a.backOff(err, "connections fail as they are accepted")
	case backend.ResourceShort:
		a.backOff(err, cure)
	case backend.SocketFailed:
		a.stop()
		a.listener.lost(a, os.NewSyscallError("accept", err))
	}
}

// countFailure counts an accept on a loop that brought no stream.
func (l *listener) countFailure(loop *loop) {
	l.errors.Add(1)
	loop.Count[backend.AcceptErrors]++
}

// backOff waits before the next accept, each time twice as long as before.
func (a *listenSocket) backOff(err error, cure string) {
	a.listener.backoffs.Add(1)
	a.delay = min(max(2*a.delay, firstBackoff), lastBackoff)
	a.set(haltBackoff, true)
	a.loop.StartTimer(&a.timer, a.delay)
	if skipped, ok := a.logged.allow(a.loop.Clock()); ok {
		a.loop.engine.log.Warn("tandem: cannot accept; connections wait in the backlog", "loop", a.loop.index,
			"listener", a.listener.addr, "error", err, "cure", cure, "retry_in", a.delay, "skipped", skipped)
	}
}

// retry ends a back-off.
func (a *listenSocket) retry() {
	a.set(haltBackoff, false)
	a.tellDriver()
}

// refuse resets a connection that cannot have the options of its listener, which happens if the process has dropped a
// privilege since Listen.
func (a *listenSocket) refuse(c connection, err error) {
	a.reset(c)
	a.listener.countFailure(a.loop)
	if skipped, ok := a.logged.allow(a.loop.Clock()); ok {
		a.loop.engine.log.Error("tandem: accept: connections are reset, because they cannot have the listener's socket options",
			"loop", a.loop.index, "listener", a.listener.addr, "error", err, "skipped", skipped)
	}
}

// unopened follows a connection that was accepted and cannot become a stream, because its loop lacks the memory: it is
// closed, and no handler hears of it.
func (l *listener) unopened(loop *loop, err error) {
	l.countFailure(loop)
	if skipped, ok := loop.unopened.allow(loop.Clock()); ok {
		l.engine.log.Warn("tandem: a connection was accepted and is closed, because it cannot be watched", "loop", loop.index,
			"listener", l.addr, "error", err, "skipped", skipped)
	}
}

// lost follows the end of one socket by err. The listener goes on with its others, and ends with the last.
func (l *listener) lost(a *listenSocket, err error) {
	l.mu.Lock()
	l.sockets--
	left, over := l.sockets, l.err != nil
	l.mu.Unlock()
	if over {
		return
	}
	failure := &net.OpError{Op: "accept", Net: l.network, Addr: l.addr, Err: err}
	message := "tandem: a listener has ended: its socket does not accept any longer"
	if left > 0 {
		message = "tandem: one of a listener's sockets does not accept any longer; the others go on"
	}
	l.engine.log.Error(message, "loop", a.loop.index, "listener", l.addr, "error", err)
	if left == 0 {
		l.end(failure)
	}
}
