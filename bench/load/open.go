//go:build linux

package load

import (
	"fmt"
	"time"
)

// openTraffic is an open loop: messages are due at a fixed rate, whether the server keeps up or not, and the time of
// each starts when it was due. A server that stops for a while therefore shows in every message that was due meanwhile,
// and not only in those that a waiting client had sent.
type openTraffic struct {
	connections
	wire     wire
	pending  []pending     // by connection
	interval float64       // nanoseconds between messages
	origin   time.Duration // when message 0 is due
	next     uint64        // number of the next message that is due; connections take turns
	owing    int           // connections that have messages not answered
	draining time.Duration // since then nothing new is due; 0: not yet
	scratch  []byte
}

// pending is what one connection has to send and to receive. Messages are numbered from 0: those below oldest have been
// answered, those below sending were sent, those below last were due.
type pending struct {
	oldest, sending, last uint64
	dues                  []time.Duration // of the messages from oldest on, at head and behind
	head                  int
	sent                  int           // bytes of message number sending
	got                   int           // bytes of the answer to message number oldest
	progress              time.Duration // when something came, or was sent with nothing owed
}

const (
	// behindLimit is how late a message may be sent before it counts as the generator's fault.
	behindLimit = 100 * time.Microsecond
	// dueAtOnce is how many messages are sent before the answers are read.
	dueAtOnce = 256
)

func newOpenTraffic(g *generator) *openTraffic {
	t := &openTraffic{
		connections: connections{g: g}, wire: newWire(g.Workload), pending: make([]pending, g.Conns),
		interval: float64(time.Second) / float64(g.Rate),
	}
	t.use = t
	return t
}

func (t *openTraffic) begin(now time.Duration) error {
	t.origin = now
	return nil
}

// dueAt is when a message is due. It is computed from the first message, so that errors do not add up.
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
		i := int(t.next % uint64(len(t.all)))
		if now-at > behindLimit && !t.all[i].blocked {
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
	c := &t.pending[i]
	if c.oldest == c.last {
		t.owing++
		c.progress = now
	}
	c.dues = append(c.dues, at)
	c.last++
	if t.all[i].blocked {
		return nil
	}
	return t.send(i)
}

// send sends the messages that are due, as far as the kernel takes them. The rest follows when there is room.
func (t *openTraffic) send(i int) error {
	c := &t.pending[i]
	for c.sending < c.last {
		m := t.wire.batch(i, c.sending, &t.scratch)
		n, err := t.write(i, m[c.sent:])
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

// received assigns what came to the messages it belongs to.
func (t *openTraffic) received(i int, p []byte) error {
	now := t.g.now()
	t.pending[i].progress = now
	for len(p) > 0 {
		n, err := t.take(i, p, now)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// take checks the part of p that belongs to the oldest message, and returns how much that is.
func (t *openTraffic) take(i int, p []byte, now time.Duration) (int, error) {
	c := &t.pending[i]
	sent := t.wire.length()
	if c.oldest == c.sending {
		sent = c.sent
	}
	if c.got == sent {
		return 0, fmt.Errorf("connection %d: %d more bytes came back than were sent", i, len(p))
	}
	want := t.wire.batch(i, c.oldest, &t.scratch)[:sent]
	p = p[:min(len(p), sent-c.got)]
	if err := t.wire.check(i, c.oldest, want, c.got, p); err != nil {
		return 0, err
	}
	if c.got += len(p); c.got == t.wire.length() {
		t.answered(c, now)
	}
	return len(p), nil
}

func (t *openTraffic) answered(c *pending, now time.Duration) {
	t.g.count(1, now-c.dues[c.head])
	c.oldest, c.got = c.oldest+1, 0
	c.head++
	if c.head == len(c.dues) {
		c.dues, c.head = c.dues[:0], 0
		t.owing--
	} else if c.head >= 1024 && c.head > len(c.dues)/2 {
		c.dues, c.head = c.dues[:copy(c.dues, c.dues[c.head:])], 0
	}
}

// unanswered counts the messages that were due and have no answer, each with the time that it has waited so far.
// Without them the slowest would be missing from the percentiles.
func (t *openTraffic) unanswered(now time.Duration) {
	for i := range t.pending {
		c := &t.pending[i]
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
	for i := range t.pending {
		c := &t.pending[i]
		if late := now - c.progress; c.oldest < c.last && late > t.g.Stall {
			return fmt.Errorf("stall: connection %d has waited %v for an answer, and %d messages are unanswered",
				i, late.Round(time.Millisecond), c.last-c.oldest)
		}
	}
	return nil
}

func (t *openTraffic) drain() error {
	t.draining = t.g.now()
	return nil
}

// waiting gives up on a server that is so far behind that its answers would take too long. By then they are known to be
// late, and the messages are counted.
func (t *openTraffic) waiting() int {
	if t.draining > 0 && t.g.now()-t.draining > t.g.Stall {
		return 0
	}
	return t.owing
}
