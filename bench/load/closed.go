//go:build linux

package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// closedTraffic is a closed loop of echoes: every connection sends a batch, waits until all of it came back, and sends
// the next.
type closedTraffic struct {
	unpaced
	g        *generator
	wire     wire
	conns    []closedConn
	busy     int // connections that wait for answers
	draining bool
}

// closedConn is one connection. Exactly one batch of messages is under way on it, or none.
type closedConn struct {
	fd       int
	seq      uint64        // batches begun
	want     []byte        // the batch; what comes back must be the same
	frames   []byte        // memory for want
	sent     int           // bytes of it
	got      int           // bytes of it
	began    time.Duration // when its first byte was sent
	blocked  bool          // waits for room to send
	complete bool          // all of it came back
}

func newClosedTraffic(g *generator) *closedTraffic {
	return &closedTraffic{g: g, wire: newWire(g.Workload), conns: make([]closedConn, 0, g.Conns)}
}

func (t *closedTraffic) open() error {
	for i := range t.g.Conns {
		fd, err := t.g.dial(i)
		if err != nil {
			return err
		}
		t.conns = append(t.conns, closedConn{fd: fd})
		if err := t.g.watch(unix.EPOLL_CTL_ADD, fd, i, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

func (t *closedTraffic) begin(time.Duration) error {
	for i := range t.conns {
		t.busy++
		if err := t.start(i, t.g.now()); err != nil {
			return err
		}
	}
	return nil
}

func (t *closedTraffic) ready(i int, events uint32) error {
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
	return t.received(i, p)
}

// received checks what came back, counts the messages that are complete, and sends the next batch after the last.
func (t *closedTraffic) received(i int, p []byte) error {
	c := &t.conns[i]
	if len(p) > c.sent-c.got {
		return fmt.Errorf("connection %d: %d bytes more came back than were sent", i, len(p)-(c.sent-c.got))
	}
	if at := firstDifference(p, c.want[c.got:c.got+len(p)]); at >= 0 {
		return t.wire.wrong(i, c.seq-1, c.got+at, p[at], c.want[c.got+at])
	}
	length := t.wire.length()
	before := c.got / length
	c.got += len(p)
	now := t.g.now()
	if n := c.got/length - before; n > 0 {
		t.g.latencies.record(now-c.began, n)
		t.g.messages += int64(n)
	}
	switch {
	case c.got < len(c.want):
		return nil
	case t.draining:
		c.complete = true
		t.busy--
		return nil
	default:
		return t.start(i, now)
	}
}

// start sends the next batch of connection i.
func (t *closedTraffic) start(i int, now time.Duration) error {
	c := &t.conns[i]
	c.want = t.wire.batch(i, c.seq, &c.frames)
	c.seq++
	c.sent, c.got, c.began = 0, 0, now
	return t.send(i)
}

// send sends what the kernel takes, and has the rest sent when there is room.
func (t *closedTraffic) send(i int) error {
	c := &t.conns[i]
	n, err := t.g.send(i, c.fd, c.want[c.sent:])
	if err != nil {
		return err
	}
	c.sent += n
	blocked := c.sent < len(c.want)
	if blocked == c.blocked {
		return nil
	}
	c.blocked = blocked
	events := uint32(unix.EPOLLIN)
	if blocked {
		events |= unix.EPOLLOUT
	}
	return t.g.watch(unix.EPOLL_CTL_MOD, c.fd, i, events)
}

func (t *closedTraffic) stalled(now time.Duration) error {
	for i := range t.conns {
		c := &t.conns[i]
		if late := now - c.began; !c.complete && late > t.g.Stall {
			return fmt.Errorf("stall: connection %d has waited %v for an answer, and has %d of %d bytes",
				i, late.Round(time.Millisecond), c.got, len(c.want))
		}
	}
	return nil
}

func (t *closedTraffic) drain() error {
	t.draining = true
	return nil
}

func (t *closedTraffic) waiting() int { return t.busy }

func (t *closedTraffic) close() {
	for i := range t.conns {
		_ = unix.Close(t.conns[i].fd)
	}
}
