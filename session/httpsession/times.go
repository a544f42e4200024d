package httpsession

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/session"
)

// awaited is what a connection waits for from its client.
type awaited uint8

const (
	nothing   awaited = iota // the handler has its turn, or FrameHandler waits for a whole request
	someHead                 // the rest of a head, or the first one: ReadHeaderTimeout
	anyHead                  // the next request: IdleTimeout
	itContent                // the content of a request in parts: MessageTimeout
)

// times enforces the timeouts of a connection, by timers of its stream. Timers are started only for what is set.
type times struct {
	set     bool // whether any is
	waits   awaited
	since   uint64 // which request that is about
	timer   *session.Timer
	pauses  int    // of the content, when the timer was started
	serves  uint64 // requests so far
	writing bool   // the watch of what is queued is running
	sent    uint64 // bytes that had gone out when it looked last
	looks   int    // times that it has found the same
	gone    bool   // the connection belongs to somebody else
}

// newTimes returns the times of a connection that has just opened.
func (o *ServerOptions) newTimes() times {
	return times{set: o.ReadHeaderTimeout > 0 || o.IdleTimeout > 0 || o.Parts != nil && o.MessageTimeout > 0}
}

// watch follows a change of what the connection waits for.
func (c *conn) watch(s *session.Stream) {
	t := &c.times
	if !t.set {
		return
	}
	waits := c.awaits(s)
	if waits == t.waits && t.since == t.serves {
		return
	}
	t.waits, t.since = waits, t.serves
	c.startTimer(s)
}

// startTimer gives the client the whole time for what is awaited.
func (c *conn) startTimer(s *session.Stream) {
	t, o := &c.times, &c.of.options
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	var d time.Duration
	switch t.waits {
	case someHead:
		d = o.ReadHeaderTimeout
	case anyHead:
		d = o.IdleTimeout
	case itContent:
		d = o.MessageTimeout
		t.pauses = c.current.pauseCount()
	}
	if d > 0 {
		waits, since := t.waits, t.since
		t.timer = s.After(d, func() { c.ranOut(s, d, waits, since) })
	}
}

// leave ends the timeouts, because the connection belongs to somebody else.
func (t *times) leave() {
	if t.set, t.gone = false, true; t.timer != nil {
		t.timer.Stop()
	}
}

// awaits says what the client has to send now.
func (c *conn) awaits(s *session.Stream) awaited {
	switch w := c.current; {
	case w != nil && !w.live.received:
		return itContent
	case w != nil, c.pending():
		return nothing
	case s.Buffered() > 0, c.times.serves == 0:
		return someHead
	}
	return anyHead
}

// ranOut is called when a timeout has run out: the loop looks once more for bytes that have come, because it may have been
// held up.
func (c *conn) ranOut(s *session.Stream, d time.Duration, waits awaited, since uint64) {
	c.times.timer = s.After(time.Millisecond, func() {
		t := &c.times
		if t.waits != waits || t.since != since || c.awaits(s) != waits {
			c.watch(s)
			return
		}
		if waits == itContent && c.current.pauseCount() != t.pauses || waits == anyHead && s.Queued() > 0 || !s.Writable() {
			c.startTimer(s) // the client was held up, or has still to take what it is sent
			return
		}
		switch waits {
		case itContent:
			c.giveUp(s, fmt.Errorf("httpsession: the content of a request was not whole within %v: %w", d, os.ErrDeadlineExceeded))
		case someHead:
			_ = session.CloseInStages(s)
		default:
			_ = s.Close()
		}
	})
}

// pauseCount returns a number that grows with every pause and every end of one, and is never the same twice while one lasts.
func (a *answer) pauseCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.parts == nil {
		return 0
	}
	if a.paused {
		a.parts.pauses++
	}
	return a.parts.pauses
}

// watchWrites begins to watch that the client takes what is sent, if that is not watched already.
func (c *conn) watchWrites(s *session.Stream) {
	if t := &c.times; c.of.options.WriteTimeout > 0 && !t.writing {
		t.writing, t.sent, t.looks = true, s.Stats().BytesSent, 0
		c.lookLater(s)
	}
}

// writeLooks is how often the watch looks within WriteTimeout.
const writeLooks = 4

func (c *conn) lookLater(s *session.Stream) {
	s.After(c.of.options.WriteTimeout/writeLooks, func() { c.lookAtWrites(s) })
}

func (c *conn) lookAtWrites(s *session.Stream) {
	t, sent, queued := &c.times, s.Stats().BytesSent, s.Queued()
	switch {
	case queued == 0 && c.current == nil, t.gone:
		t.writing = false
		return
	case queued == 0 || sent != t.sent:
		t.looks = 0
	default:
		t.looks++
	}
	if t.sent = sent; t.looks > writeLooks {
		_ = s.AbortWith(fmt.Errorf("httpsession: the client has taken nothing for %v: %w", c.of.options.WriteTimeout, os.ErrDeadlineExceeded))
		return
	}
	c.lookLater(s)
}
