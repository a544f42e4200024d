//go:build linux

package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// openTraffic is an open loop: messages are due at a fixed rate, whether the server keeps up or not, and the time of
// each counts from when it was due. So a server that stops for a while is seen in every message that was due meanwhile,
// and not only in those that a waiting client had sent.
type openTraffic struct {
	g        *generator
	wire     wire
	conns    []openConn
	interval float64       // nanoseconds between messages
	origin   time.Duration // when message 0 is due
	next     uint64        // number of the next message that is due; connections take turns
	owing    int           // connections that have messages not answered
	draining time.Duration // since then nothing new is due; 0: not yet
	scratch  []byte
}

// openConn is one connection. Messages are numbered from 0: those below oldest have been answered, those below sending
// sent, those below last were due.
type openConn struct {
	fd                    int
	oldest, sending, last uint64
	dues                  []time.Duration // of the messages from oldest on, at head and behind
	head                  int
	sent                  int           // bytes of message number sending
	got                   int           // bytes of the answer to message number oldest
	progress              time.Duration // when something came, or was sent with nothing owed
	blocked               bool
}

const (
	// behindLimit is how late a message may be sent before it counts as the generator's fault.
	behindLimit = 100 * time.Microsecond
	// dueAtOnce is how many messages are sent before a look at the answers.
	dueAtOnce = 256
)

func newOpenTraffic(g *generator) *openTraffic {
	return &openTraffic{
		g: g, wire: newWire(g.Workload), conns: make([]openConn, 0, g.Conns),
		interval: float64(time.Second) / float64(g.Rate),
	}
}

func (t *openTraffic) open() error {
	for i := range t.g.Conns {
		fd, err := t.g.dial(i)
		if err != nil {
			return err
		}
		t.conns = append(t.conns, openConn{fd: fd})
		if err := t.g.watch(unix.EPOLL_CTL_ADD, fd, i, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

func (t *openTraffic) begin(now time.Duration) error {
	t.origin = now
	return nil
}

// dueAt is when a message is due, worked out from the first, so that no error adds up.
func (t *openTraffic) dueAt(number uint64) time.Duration {
	return t.origin + time.Duration(float64(number)*t.interval)
}

func (t *openTraffic) due(now time.Duration) (time.Duration, error) {
	if t.draining > 0 {
		return never, nil
	}
	at := t.dueAt(t.next)
	for range dueAtOnce {
		if at > now {
			break
		}
		i := int(t.next % uint64(len(t.conns)))
		if now-at > behindLimit && !t.conns[i].blocked {
			t.g.behind++
		}
		if err := t.offer(i, at, now); err != nil {
			return 0, err
		}
		t.next++
		at = t.dueAt(t.next)
		now = t.g.now()
	}
	return at, nil
}

// offer sends the next message of connection i, which was due at the given time.
func (t *openTraffic) offer(i int, at, now time.Duration) error {
	c := &t.conns[i]
	if c.oldest == c.last {
		t.owing++
		c.progress = now
	}
	c.dues = append(c.dues, at)
	c.last++
	if c.blocked {
		return nil
	}
	return t.send(i)
}

// send sends what is due and the kernel takes, and has the rest sent when there is room.
func (t *openTraffic) send(i int) error {
	c := &t.conns[i]
	for c.sending < c.last {
		m := t.wire.batch(i, c.sending, &t.scratch)
		n, err := t.g.send(i, c.fd, m[c.sent:])
		if err != nil {
			return err
		}
		if c.sent += n; c.sent < len(m) {
			return t.block(i, true)
		}
		c.sending, c.sent = c.sending+1, 0
	}
	return t.block(i, false)
}

func (t *openTraffic) block(i int, blocked bool) error {
	c := &t.conns[i]
	if c.blocked == blocked {
		return nil
	}
	c.blocked = blocked
	events := uint32(unix.EPOLLIN)
	if blocked {
		events |= unix.EPOLLOUT
	}
	return t.g.watch(unix.EPOLL_CTL_MOD, c.fd, i, events)
}

func (t *openTraffic) ready(i int, events uint32) error {
	c := &t.conns[i]
	if events&unix.EPOLLOUT != 0 && c.blocked {
		if err := t.send(i); err != nil {
			return err
		}
	}
	if !readable(events) {
		return nil
	}
	p, err := t.g.receive(i, c.fd)
	if len(p) == 0 || err != nil {
		return err
	}
	c.progress = t.g.now()
	for len(p) > 0 {
		n, err := t.received(i, p, c.progress)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// received checks the part of p that belongs to the oldest message, and tells how much that is.
func (t *openTraffic) received(i int, p []byte, now time.Duration) (int, error) {
	c := &t.conns[i]
	sent := t.wire.length()
	if c.oldest == c.sending {
		sent = c.sent
	}
	if c.got == sent {
		return 0, fmt.Errorf("connection %d: %d bytes more came back than were sent", i, len(p))
	}
	want := t.wire.batch(i, c.oldest, &t.scratch)[c.got:sent]
	p = p[:min(len(p), len(want))]
	if at := firstDifference(p, want[:len(p)]); at >= 0 {
		return 0, t.wire.wrong(i, c.oldest, c.got+at, p[at], want[at])
	}
	if c.got += len(p); c.got == t.wire.length() {
		t.answered(c, now)
	}
	return len(p), nil
}

func (t *openTraffic) answered(c *openConn, now time.Duration) {
	t.g.latencies.record(now-c.dues[c.head], 1)
	t.g.messages++
	c.oldest, c.got = c.oldest+1, 0
	c.head++
	if c.head == len(c.dues) {
		c.dues, c.head = c.dues[:0], 0
		t.owing--
	} else if c.head >= 1024 && c.head > len(c.dues)/2 {
		c.dues, c.head = c.dues[:copy(c.dues, c.dues[c.head:])], 0
	}
}

// unanswered counts what was due and has no answer, each with the time that it has waited so far. Left out, the worst
// would be missing from the percentiles.
func (t *openTraffic) unanswered(now time.Duration) {
	for i := range t.conns {
		c := &t.conns[i]
		for _, at := range c.dues[c.head:] {
			t.g.latencies.record(now-at, 1)
			t.g.late++
		}
	}
	for n := t.next; t.dueAt(n) <= now; n++ { // not even sent yet
		t.g.latencies.record(now-t.dueAt(n), 1)
		t.g.late++
	}
}

func (t *openTraffic) stalled(now time.Duration) error {
	for i := range t.conns {
		c := &t.conns[i]
		if late := now - c.progress; c.oldest < c.last && late > t.g.Stall {
			return fmt.Errorf("stall: connection %d has waited %v for an answer, and %d messages are owed",
				i, late.Round(time.Millisecond), c.last-c.oldest)
		}
	}
	return nil
}

func (t *openTraffic) drain() error {
	t.draining = t.g.now()
	return nil
}

// waiting gives up on a server that is so far behind that all its answers would take too long. They are known to be
// late by then, and the messages counted.
func (t *openTraffic) waiting() int {
	if t.draining > 0 && t.g.now()-t.draining > t.g.Stall {
		return 0
	}
	return t.owing
}

func (t *openTraffic) close() {
	for i := range t.conns {
		_ = unix.Close(t.conns[i].fd)
	}
}
