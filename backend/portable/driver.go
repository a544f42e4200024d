package portable

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// pieceSize is how many bytes a goroutine receives at once, or sends from a copy.
const pieceSize = 16 << 10

// maxLooks is how many looks in a row keep the processor although they find nothing.
const maxLooks = 4

// Bits of Socket.State: what the owner wants.
const (
	receiving uint32 = 1 << iota
	accepting
	connecting
	releasing
)

// Driver is a backend.Driver of goroutines.
type Driver struct {
	*sockets
	backend.Table
	count    *backend.Counters
	attached []*attached // by slot
	requests int         // goroutines of sockets, of which the last event was not reported
	running  sync.WaitGroup
	pool     backend.Pool
	alarm    chan struct{} // ends a sleep, together with asleep
	timer    *time.Timer
	looks    int // in a row that found nothing

	batch []event // that Poll reports; batch[:at] was begun
	at    int
	lent  int    // how many bytes of buf Received has and has not kept; 0 outside of Received
	buf   []byte // that Received has
	kept  atomic.Int64

	mu     sync.Mutex // guards what follows
	queue  []event
	asleep bool
	woken  bool
	closed bool
}

var (
	_ backend.Driver = (*Driver)(nil)
	_ backend.Mover  = (*Driver)(nil)
)

func newDriver(s *sockets, c Config) *Driver {
	d := &Driver{sockets: s, count: new(backend.Counters), alarm: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	d.timer.Stop()
	d.Setup("portable", c.Sockets, d.update)
	return d
}

// Start implements backend.Driver.
func (d *Driver) Start(c *backend.Counters) error {
	d.count = c
	return nil
}

// Move implements backend.Mover.
func (d *Driver) Move() error { return nil }

// Attach implements backend.Driver.
func (d *Driver) Attach(s *backend.Socket) error {
	if err := d.Table.Attach(s); err != nil {
		return err
	}
	a := &attached{d: d, f: d.sockets.at(s.Descriptor), id: s.ID, bounded: s.Bounded, wake: make(chan struct{}, 1)}
	a.call = a.try
	if i := s.ID.Slot(); i < len(d.attached) {
		d.attached[i] = a
	} else {
		d.attached = append(d.attached, a)
	}
	if a.f.connected() {
		d.Changed(s) // a goroutine watches it
	}
	return nil
}

// of is what the driver has of a socket.
func (d *Driver) of(s *backend.Socket) *attached { return d.attached[s.ID.Slot()] }

// Receive implements backend.Driver.
func (d *Driver) Receive(s *backend.Socket, on bool) { d.SetInterest(s, receiving, on) }

// Accept implements backend.Driver.
func (d *Driver) Accept(s *backend.Socket, on bool) { d.SetInterest(s, accepting, on) }

// Connect implements backend.Driver.
func (d *Driver) Connect(s *backend.Socket) {
	a := d.of(s)
	if a.f.dial == nil || s.State&connecting != 0 {
		return
	}
	s.State |= connecting
	d.begin(s)
	a.f.dial.watch(func() { d.post(event{a: a, kind: connected, last: true}) })
}

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	a := d.of(s)
	if !a.f.connected() {
		return 0, errNoSocket
	}
	if !d.plain {
		d.count[backend.SystemCalls]++
		if n, err := a.f.trySend(bufs); err != errAgain {
			return n, err
		}
	}
	d.begin(s)
	s.Op = a
	a.send(bufs)
	return 0, backend.ErrPending
}

// Release implements backend.Driver.
func (d *Driver) Release(s *backend.Socket) {
	s.State = releasing
	if s.InFlight == 0 {
		d.detach(s)
		return
	}
	d.of(s).release()
}

// begin counts a goroutine that an event ends.
func (d *Driver) begin(s *backend.Socket) {
	s.InFlight++
	d.requests++
}

// detach takes s out of the table: no goroutine refers to it.
func (d *Driver) detach(s *backend.Socket) {
	d.attached[s.ID.Slot()] = nil
	d.MarkReleased(s)
}

// update has a socket's goroutine do what its owner wants.
func (d *Driver) update(s *backend.Socket) {
	if s.State&(releasing|connecting) != 0 {
		return
	}
	a := d.of(s)
	if !a.started {
		a.started = true
		d.begin(s)
		d.running.Add(1)
		if a.f.ln != nil {
			go a.accept()
		} else {
			a.f.own.hold()
			go a.receive()
		}
	}
	a.want(s.State&(receiving|accepting) != 0)
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.ReportReleased()
	d.FlushChanges()
	if n += d.dispatch(); n > 0 || wait == 0 {
		d.yield(n)
		return n, nil
	}
	d.looks = 0
	d.sleep(wait)
	return d.dispatch(), nil
}

// yield lets the goroutines run when a caller only looks, and finds nothing.
func (d *Driver) yield(found int) {
	if d.looks++; found > 0 {
		d.looks = 0
	} else if d.looks > maxLooks {
		runtime.Gosched()
	}
}

// dispatch reports what has happened.
func (d *Driver) dispatch() (n int) {
	if d.at == len(d.batch) {
		clear(d.batch)
		d.mu.Lock()
		d.batch, d.queue, d.at = d.queue, d.batch[:0], 0
		d.mu.Unlock()
	}
	for d.at < len(d.batch) {
		e := &d.batch[d.at]
		d.at++
		if d.report(e) {
			n++
		}
	}
	return n
}

// post gives an event to the loop. Any goroutine.
func (d *Driver) post(e event) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		d.drop(&e)
		return
	}
	d.queue = append(d.queue, e)
	d.rouseLocked()
	d.mu.Unlock()
}

// rouseLocked ends a sleep.
func (d *Driver) rouseLocked() {
	if d.asleep {
		d.asleep = false
		d.alarm <- struct{}{} // there is room: a sleeper takes what was sent before it sleeps again
	}
}

// Wake implements backend.Driver.
func (d *Driver) Wake() {
	d.mu.Lock()
	d.woken = true
	d.rouseLocked()
	d.mu.Unlock()
}

// sleep returns when there is an event, Wake was called, or wait has passed; it never passes if it is negative.
func (d *Driver) sleep(wait time.Duration) {
	d.mu.Lock()
	over := d.woken || len(d.queue) > 0
	d.woken = false
	d.asleep = !over
	d.mu.Unlock()
	if over {
		return
	}
	if wait < 0 {
		<-d.alarm
	} else {
		d.timer.Reset(wait)
		select {
		case <-d.alarm:
			d.timer.Stop()
		case <-d.timer.C:
			d.awake()
		}
	}
	d.mu.Lock()
	d.woken = false
	d.mu.Unlock()
}

// awake ends a sleep that nobody has ended.
func (d *Driver) awake() {
	d.mu.Lock()
	ended := !d.asleep
	d.asleep = false
	d.mu.Unlock()
	if ended {
		<-d.alarm
	}
}

// Keep implements backend.Driver. It refuses to give a whole buffer away for a few bytes.
func (d *Driver) Keep() func() {
	if d.lent < pieceSize/8 {
		return nil
	}
	buf := d.buf
	d.lent, d.buf = 0, nil
	d.kept.Add(1)
	return backend.GiveBackOnce(func() {
		d.pool.Put(buf)
		if d.kept.Add(-1) == 0 {
			d.show()
		}
	}, "a receive buffer")
}

// show has a loop that sleeps look after its figures. Any goroutine.
func (d *Driver) show() {
	d.mu.Lock()
	d.rouseLocked()
	d.mu.Unlock()
}

// Features implements backend.Driver.
func (d *Driver) Features() []string {
	switch {
	case d.plain:
		return []string{"goroutines", "package net"}
	case d.native:
		return []string{"goroutines", "package net", "direct calls", "socket options"}
	}
	return []string{"goroutines", "package net", "direct calls"}
}

// Outstanding implements backend.Driver.
func (d *Driver) Outstanding() backend.Outstanding {
	return backend.Outstanding{Sockets: d.Unreleased(), Requests: d.requests, Buffers: int(d.kept.Load())}
}

// Close implements backend.Driver. It waits for the goroutines, which wait for nobody.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	queue := d.queue
	d.queue = nil
	d.mu.Unlock()
	d.All(func(s *backend.Socket) {
		d.of(s).release()
		s.Op = nil
	})
	d.running.Wait()
	for ; d.at < len(d.batch); d.at++ {
		d.drop(&d.batch[d.at])
	}
	for i := range queue {
		d.drop(&queue[i])
	}
	d.batch, d.at, d.requests = nil, 0, 0
	return nil
}
