//go:build linux

package load

import (
	"fmt"
	"time"
)

// closedTraffic is a closed loop of echoes: every connection sends a batch, waits until all of it came back, and sends
// the next.
type closedTraffic struct {
	unpaced
	connections
	wire    wire
	batches []batch
}

// batch is the messages in flight on one connection, which were sent at once.
type batch struct {
	seq      uint64        // batches begun
	want     []byte        // the bytes of the batch, which must come back unchanged
	frames   []byte        // memory for want
	sent     int           // bytes of it
	got      int           // bytes of it
	began    time.Duration // when its first byte was sent
	complete bool          // all of it came back, and no other batch follows
}

func newClosedTraffic(g *generator) *closedTraffic {
	t := &closedTraffic{connections: connections{g: g}, wire: newWire(g.Workload), batches: make([]batch, g.Conns)}
	t.use = t
	return t
}

func (t *closedTraffic) begin(time.Duration) error {
	for i := range t.batches {
		t.busy++
		if err := t.start(i, t.g.now()); err != nil {
			return err
		}
	}
	return nil
}

// start sends the next batch of connection i.
func (t *closedTraffic) start(i int, now time.Duration) error {
	b := &t.batches[i]
	b.want = t.wire.batch(i, b.seq, &b.frames)
	b.seq++
	b.sent, b.got, b.began = 0, 0, now
	return t.send(i)
}

// send sends what the kernel takes. The rest follows when there is room.
func (t *closedTraffic) send(i int) error {
	b := &t.batches[i]
	n, err := t.write(i, b.want[b.sent:])
	if err != nil {
		return err
	}
	b.sent += n
	return t.block(i, b.sent < len(b.want))
}

// received checks what came back, counts the messages that are complete, and sends the next batch after the last.
func (t *closedTraffic) received(i int, p []byte) error {
	b := &t.batches[i]
	if err := t.wire.check(i, b.seq-1, b.want[:b.sent], b.got, p); err != nil {
		return err
	}
	now := t.g.now()
	t.g.count(t.wire.completed(b.got, len(p)), now-b.began)
	b.got += len(p)
	switch {
	case b.got < len(b.want):
		return nil
	case t.draining:
		b.complete = true
		t.busy--
		return nil
	default:
		return t.start(i, now)
	}
}

func (t *closedTraffic) stalled(now time.Duration) error {
	for i := range t.batches {
		b := &t.batches[i]
		if late := now - b.began; !b.complete && late > t.g.Stall {
			return fmt.Errorf("stall: connection %d has waited %v for an answer, and has %d of %d bytes",
				i, late.Round(time.Millisecond), b.got, len(b.want))
		}
	}
	return nil
}
