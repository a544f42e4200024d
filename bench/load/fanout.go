//go:build linux

package load

import (
	"fmt"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

// fanOutTraffic sends a batch on connection 0, waits until every connection has all of it, and sends the next. A message
// counts once for each connection that got it. Connections that lack some of the batch, or their greeting, are busy.
type fanOutTraffic struct {
	unpaced
	connections
	wire     wire
	progress []fanOutProgress
	seq      uint64 // batches begun
	want     []byte
	frames   []byte
	sent     int           // bytes of the batch
	began    time.Duration // when its first byte was sent
}

// fanOutProgress is how much of the batch a connection has received.
type fanOutProgress struct {
	greeted bool
	got     int // bytes of the batch
}

func newFanOutTraffic(g *generator) *fanOutTraffic {
	t := &fanOutTraffic{connections: connections{g: g}, wire: newWire(g.Workload), progress: make([]fanOutProgress, g.Conns)}
	t.use = t
	return t
}

// open connects, and waits for the greeting of every connection: before it a connection may miss a message.
func (t *fanOutTraffic) open() error {
	if err := t.connections.open(); err != nil {
		return err
	}
	t.busy = len(t.all)
	t.began = t.g.now()
	return t.g.loop(-1)
}

func (t *fanOutTraffic) begin(now time.Duration) error { return t.start(now) }

// start sends the next batch.
func (t *fanOutTraffic) start(now time.Duration) error {
	t.want = t.wire.batch(0, t.seq, &t.frames)
	t.seq++
	t.sent, t.began, t.busy = 0, now, len(t.all)
	for i := range t.progress {
		t.progress[i].got = 0
	}
	return t.send(0)
}

// send sends what the kernel takes, on connection 0. The rest follows when there is room.
func (t *fanOutTraffic) send(int) error {
	n, err := t.write(0, t.want[t.sent:])
	if err != nil {
		return err
	}
	t.sent += n
	return t.block(0, t.sent < len(t.want))
}

// received removes the greeting, checks what connection i received, and sends the next batch when every connection has
// all of this one.
func (t *fanOutTraffic) received(i int, p []byte) error {
	c := &t.progress[i]
	if !c.greeted {
		if p[0] != workload.Greeting {
			return fmt.Errorf("connection %d: the server's greeting is %#02x, want %#02x", i, p[0], workload.Greeting)
		}
		c.greeted = true
		t.busy--
		if p = p[1:]; len(p) == 0 {
			return nil
		}
	}
	if err := t.wire.check(i, t.seq-1, t.want[:t.sent], c.got, p); err != nil {
		return err
	}
	now := t.g.now()
	t.g.count(t.wire.completed(c.got, len(p)), now-t.began)
	if c.got += len(p); c.got < len(t.want) {
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
			t.busy, len(t.all), late.Round(time.Millisecond))
	}
	return nil
}
