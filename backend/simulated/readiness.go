package simulated

import (
	"io"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Bits of Socket.State of both kinds of drivers: what the owner wants.
const (
	wantReceive uint32 = 1 << iota
	wantAccept
	wantConnect
	sendWaits   // a Send found no room
	hupTold     // HungUp was called because both directions are over, and receiving was not switched on since
	errorTold   // the same because of an error
	firstOfKind // the first bit that means something to one kind only
)

// readiness is the driver that asks what is ready, and then calls. It has one buffer.
type readiness struct {
	*driver
	buf     []byte
	lent    int
	keeping bool
	kept    int // buffers; the kernel's mu guards it
}

const readinessBuffer = 4 << 10

func newReadiness(base *driver) *readiness {
	d := &readiness{driver: base, buf: make([]byte, readinessBuffer)}
	base.engine = d
	base.Setup("simulated", 0, func(*backend.Socket) {})
	return d
}

// Receive implements backend.Driver.
func (d *readiness) Receive(s *backend.Socket, on bool) {
	d.point()
	d.SetInterest(s, wantReceive, on)
	s.State &^= hupTold | errorTold
}

// Accept implements backend.Driver.
func (d *readiness) Accept(s *backend.Socket, on bool) {
	d.point()
	d.SetInterest(s, wantAccept, on)
}

// Connect implements backend.Driver.
func (d *readiness) Connect(s *backend.Socket) {
	d.point()
	d.SetInterest(s, wantConnect, true)
}

// Send implements backend.Driver.
func (d *readiness) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	defer d.locked()()
	n, err := d.send(s.Descriptor, bufs)
	if err == syscall.EAGAIN {
		d.SetInterest(s, sendWaits, true)
		return 0, backend.ErrPending
	}
	return n, err
}

// Release implements backend.Driver.
func (d *readiness) Release(s *backend.Socket) {
	d.point()
	s.State = 0
	d.detach(s)
}

// interest is what of a socket's readiness concerns its owner now.
func interest(s *backend.Socket, r ready) ready {
	var events ready
	if s.State&(wantReceive|wantAccept) != 0 {
		events |= r & (readyIn | readyError | readyHup)
	}
	if s.State&(wantConnect|sendWaits) != 0 {
		events |= r & (readyOut | readyError | readyHup)
	}
	if s.State&(wantReceive|wantAccept|wantConnect|sendWaits) == 0 {
		events |= untold(s, r)
	}
	return events
}

// untold is what of a socket's failure its owner has not been told by HungUp.
func untold(s *backend.Socket, r ready) ready {
	r &= readyError | readyHup
	if s.State&hupTold != 0 {
		r &^= readyHup
	}
	if s.State&errorTold != 0 {
		r &^= readyError
	}
	return r
}

// tellHangUp calls HungUp.
func tellHangUp(s *backend.Socket, r ready) {
	if r&readyHup != 0 {
		s.State |= hupTold
	}
	if r&readyError != 0 {
		s.State |= errorTold
	}
	s.Owner.HungUp()
}

// due implements engine.
func (d *readiness) due() (found bool) {
	d.All(func(s *backend.Socket) {
		found = found || interest(s, d.k.file(s.Descriptor).ready()) != 0
	})
	return found
}

// happening is a socket of which something is to be reported.
type happening struct {
	id     backend.ID
	events ready
}

// look implements engine.
func (d *readiness) look() int {
	all := d.happenings()
	for _, h := range all {
		if s := d.Lookup(h.id); s != nil { // else an earlier one of these has released it
			d.report(s, h)
		}
	}
	return len(all)
}

// happenings is what a call of epoll_wait(2) would return: some of the sockets that are ready, in any order.
func (d *readiness) happenings() (all []happening) {
	defer d.locked()()
	d.k.runDue()
	d.All(func(s *backend.Socket) {
		if events := interest(s, d.k.file(s.Descriptor).ready()); events != 0 {
			all = append(all, happening{s.ID, events})
		}
	})
	d.k.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if len(all) > 1 && d.k.chance(d.k.cfg.Faults.Delay) {
		all = all[:d.k.upTo(len(all))]
	}
	d.k.note("ready", len(all), 0)
	return all
}

func (d *readiness) report(s *backend.Socket, h happening) {
	switch {
	case s.State&wantReceive != 0:
		if s.State&sendWaits != 0 && h.events&readyOut != 0 {
			d.writable(s)
			if d.Lookup(h.id) != s || s.State&wantReceive == 0 {
				return
			}
		}
		if h.events&(readyIn|readyHup|readyError) != 0 {
			d.receive(s)
		}
	case s.State&wantAccept != 0:
		d.accept(s, h.id)
	case s.State&wantConnect != 0:
		d.connected(s)
	case s.State&sendWaits != 0:
		d.writable(s)
	case h.events&(readyError|readyHup) != 0:
		tellHangUp(s, h.events)
	}
}

func (d *readiness) writable(s *backend.Socket) {
	d.SetInterest(s, sendWaits, false)
	s.Owner.Sent(0, nil)
}

func (d *readiness) receive(s *backend.Socket) {
	n, err := d.receiveInto(s)
	switch {
	case n > 0:
		d.lent = n
		s.Owner.Received(d.buf[:n:n])
		d.lent = 0
		if d.keeping {
			d.keeping = false
			d.buf = make([]byte, readinessBuffer)
		}
		poison(d.buf[:n])
	case err == syscall.EAGAIN:
	default:
		if err == nil {
			err = io.EOF
		}
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(err)
	}
}

func (d *readiness) receiveInto(s *backend.Socket) (int, error) {
	defer d.locked()()
	if d.k.chance(d.k.cfg.Faults.Again) {
		return 0, syscall.EAGAIN
	}
	n, err := d.connection(s.Descriptor).receive(d.buf)
	d.k.note("receive", s.FD(), n)
	return n, err
}

// accept takes some of the connections that wait.
func (d *readiness) accept(s *backend.Socket, id backend.ID) {
	for range 8 {
		fd, from, err := d.acceptOne(s)
		if err == syscall.EAGAIN {
			return
		}
		if err != nil {
			d.SetInterest(s, wantAccept, false)
			s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
			return
		}
		s.Owner.Accepted(fd, from, nil)
		if d.Lookup(id) != s || s.State&wantAccept == 0 {
			return
		}
	}
}

func (d *readiness) acceptOne(s *backend.Socket) (backend.Descriptor, backend.Address, error) {
	defer d.locked()()
	return d.k.accept(d.k.file(s.Descriptor).listens)
}

// accept is accept4(2). mu is held.
func (k *Kernel) accept(l *listener) (backend.Descriptor, backend.Address, error) {
	if len(l.queue) == 0 && !l.closed || k.chance(k.cfg.Faults.Again) {
		return backend.Descriptor{}, backend.Address{}, syscall.EAGAIN
	}
	if k.accepts != nil {
		return backend.Descriptor{}, backend.Address{}, k.accepts
	}
	f, d, err := k.newFile()
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	e, err := l.accept()
	if err != nil {
		k.closeFile(d, false)
		return backend.Descriptor{}, backend.Address{}, err
	}
	f.end = e
	from := e.remote
	if k.chance(0.5) {
		from = backend.Address{} // as with io_uring
	}
	return d, from, nil
}

func (d *readiness) connected(s *backend.Socket) {
	over, err := d.connectResult(s)
	if !over {
		return
	}
	d.SetInterest(s, wantConnect, false)
	s.Owner.Connected(err)
}

// connectResult is how a connect has ended, if it has. The error is told once.
func (d *driver) connectResult(s *backend.Socket) (over bool, err error) {
	defer d.locked()()
	f := d.k.file(s.Descriptor)
	switch {
	case f.dialing == nil || !f.dialing.done:
		return false, nil
	case f.dialing.err != nil:
		return true, f.dialing.err
	}
	return true, f.end.takeError()
}

// Keep implements backend.Driver.
func (d *readiness) Keep() func() {
	if d.lent == 0 || d.keeping {
		return nil
	}
	d.keeping = true
	buf := d.buf
	d.k.mu.Lock()
	d.kept++
	d.k.mu.Unlock()
	return func() {
		poison(buf)
		defer d.locked()()
		if d.kept--; d.kept < 0 {
			panic("simulated: a buffer is given back twice")
		}
	}
}

// poison overwrites memory whose time is over.
func poison(p []byte) {
	for i := range p {
		p[i] = 0xDB
	}
}

// Features implements backend.Driver.
func (d *readiness) Features() []string { return []string{"readiness"} }

// Outstanding implements backend.Driver.
func (d *readiness) Outstanding() backend.Outstanding {
	d.point()
	defer d.locked()()
	return backend.Outstanding{Sockets: d.Unreleased(), Buffers: d.kept}
}
