//go:build linux

package load

import (
	"fmt"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

// fanOutTraffic sends a batch on connection 0, waits until every connection has all of it, and sends the next. A message
// counts once for each connection that got it.
type fanOutTraffic struct {
	unpaced
	g        *generator
	wire     wire
	conns    []fanOutConn
	seq      uint64 // batches begun
	want     []byte
	frames   []byte
	sent     int           // bytes of the batch
	began    time.Duration // when its first byte was sent
	busy     int           // connections that lack some of it, or their greeting
	blocked  bool
	draining bool
}

type fanOutConn struct {
	fd      int
	greeted bool
	got     int // bytes of the batch
}

func newFanOutTraffic(g *generator) *fanOutTraffic {
	return &fanOutTraffic{g: g, wire: newWire(g.Workload)}
}

// open connects, and waits for the greeting of every connection: before that it may miss a message.
func (t *fanOutTraffic) open() error {
	for i := range t.g.Conns {
		fd, err := t.g.dial(i)
		if err != nil {
			return err
		}
		t.conns = append(t.conns, fanOutConn{fd: fd})
		t.busy++
		if err := t.g.watch(unix.EPOLL_CTL_ADD, fd, i, unix.EPOLLIN); err != nil {
			return err
		}
	}
	t.began = t.g.now()
	return t.g.loop(-1)
}

func (t *fanOutTraffic) begin(now time.Duration) error { return t.start(now) }

// start sends the next batch.
func (t *fanOutTraffic) start(now time.Duration) error {
	t.want = t.wire.batch(0, t.seq, &t.frames)
	t.seq++
	t.sent, t.began, t.busy = 0, now, len(t.conns)
	for i := range t.conns {
		t.conns[i].got = 0
	}
	return t.send()
}

// send sends what the kernel takes, and has the rest sent when there is room.
func (t *fanOutTraffic) send() error {
	n, err := t.g.send(0, t.conns[0].fd, t.want[t.sent:])
	if err != nil {
		return err
	}
	t.sent += n
	blocked := t.sent < len(t.want)
	if blocked == t.blocked {
		return nil
	}
	t.blocked = blocked
	events := uint32(unix.EPOLLIN)
	if blocked {
		events |= unix.EPOLLOUT
	}
	return t.g.watch(unix.EPOLL_CTL_MOD, t.conns[0].fd, 0, events)
}

func (t *fanOutTraffic) ready(i int, events uint32) error {
	if events&unix.EPOLLOUT != 0 && t.blocked {
		if err := t.send(); err != nil {
			return err
		}
	}
	if !readable(events) {
		return nil
	}
	p, err := t.g.receive(i, t.conns[i].fd)
	if err != nil {
		return err
	}
	if len(p) > 0 && !t.conns[i].greeted {
		if p[0] != workload.Greeting {
			return fmt.Errorf("connection %d: the server's greeting is %#02x, want %#02x", i, p[0], workload.Greeting)
		}
		t.conns[i].greeted = true
		t.busy--
		p = p[1:]
	}
	if len(p) == 0 {
		return nil
	}
	return t.received(i, p)
}

// received checks what connection i got, and sends the next batch when the last has all of this one.
func (t *fanOutTraffic) received(i int, p []byte) error {
	c := &t.conns[i]
	if len(p) > t.sent-c.got {
		return fmt.Errorf("connection %d: got %d bytes more than were sent", i, len(p)-(t.sent-c.got))
	}
	if at := firstDifference(p, t.want[c.got:c.got+len(p)]); at >= 0 {
		return t.wire.wrong(i, t.seq-1, c.got+at, p[at], t.want[c.got+at])
	}
	length := t.wire.length()
	before := c.got / length
	c.got += len(p)
	now := t.g.now()
	if n := c.got/length - before; n > 0 {
		t.g.latencies.record(now-t.began, n)
		t.g.messages += int64(n)
	}
	if c.got < len(t.want) {
		return nil
	}
	if t.busy--; t.busy > 0 || t.draining {
		return nil
	}
	return t.start(now)
}

func (t *fanOutTraffic) stalled(now time.Duration) error {
	if late := now - t.began; t.busy > 0 && late > t.g.Stall {
		return fmt.Errorf("stall: %d of %d connections have waited %v for a message",
			t.busy, len(t.conns), late.Round(time.Millisecond))
	}
	return nil
}

func (t *fanOutTraffic) drain() error {
	t.draining = true
	return nil
}

func (t *fanOutTraffic) waiting() int { return t.busy }

func (t *fanOutTraffic) close() {
	for i := range t.conns {
		_ = unix.Close(t.conns[i].fd)
	}
}
