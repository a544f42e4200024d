package epoll

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

const (
	bufferSize     = 64 << 10
	eventsPerLook  = 256
	acceptsPerLook = 64
	wakeID         = ^uint64(0)
	timerID        = wakeID - 1
)

// Bits of Socket.State.
const (
	receiving  uint32 = 1 << iota
	accepting         // a listener
	connecting        // waits for the end of a connect
	sendWaits         // a Send found the socket full
	known             // the kernel's interest list has it
	interest          // what follows is the interest the kernel has: EPOLLIN, EPOLLOUT and EPOLLET packed
)

// Config says how a driver runs. The zero value is right.
type Config struct {
	Sockets int  // room for so many sockets from the start
	Thread  bool // the loop has a thread of its own: sleep in epoll_pwait instead of Go's poller
}

// Driver is a backend.Driver on epoll.
type Driver struct {
	backend.Linux
	epfd       int
	alarm      *backend.EventFD
	file       *os.File        // the epoll descriptor in Go's poller, nil with Config.Thread
	raw        syscall.RawConn // of file
	lookParked func(uintptr) bool
	timer      timer

	slots    backend.Slots
	count    *backend.Counters
	events   [eventsPerLook]unix.EpollEvent
	ready    int // how many of events the last look filled
	err      error
	changes  backend.Changes
	released backend.Releases
	tell     func(*backend.Socket) // tellKernel, made once

	buf     []byte // the hot buffer
	lent    int    // bytes of it that Received has now
	keeping bool   // and they were made their owner's
	kept    atomic.Int64
	pool    backend.Pool
}

var (
	_ backend.Driver = (*Driver)(nil)
	_ backend.Mover  = (*Driver)(nil)
)

// New makes a driver. The error names the step that failed.
func New(c Config) (*Driver, error) {
	d := &Driver{epfd: -1, buf: make([]byte, bufferSize), timer: timer{fd: -1}}
	d.tell = d.tellKernel
	d.slots.Reserve(c.Sockets)
	if err := d.open(c); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return d, nil
}

func (d *Driver) open(c Config) (err error) {
	if d.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if d.alarm, err = backend.NewEventFD(); err != nil {
		return err
	}
	e := epollEvent(unix.EPOLLIN, wakeID)
	if err = unix.EpollCtl(d.epfd, unix.EPOLL_CTL_ADD, d.alarm.FD(), &e); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if err = d.timer.open(d.epfd); err != nil {
		return err
	}
	if c.Thread {
		return nil
	}
	// An epoll descriptor is itself pollable, epoll(7). os.NewFile hands a non-blocking one to Go's poller.
	if err = unix.SetNonblock(d.epfd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	d.file = os.NewFile(uintptr(d.epfd), "epoll")
	if d.raw, err = d.file.SyscallConn(); err != nil {
		return err
	}
	d.lookParked = func(uintptr) bool { return d.look(false) }
	return nil
}

// Start implements backend.Driver.
func (d *Driver) Start(c *backend.Counters) error {
	d.count = c
	return nil
}

// Move implements backend.Mover: it is the same to epoll which thread waits.
func (d *Driver) Move() error { return nil }

// Attach implements backend.Driver.
func (d *Driver) Attach(s *backend.Socket) error {
	s.State = 0
	if !d.slots.Insert(s) {
		return fmt.Errorf("epoll: attach: %w", syscall.ENOBUFS)
	}
	return nil
}

// Receive implements backend.Driver.
func (d *Driver) Receive(s *backend.Socket, on bool) { d.want(s, receiving, on) }

// Accept implements backend.Driver.
func (d *Driver) Accept(s *backend.Socket, on bool) { d.want(s, accepting, on) }

// Connect implements backend.Driver.
func (d *Driver) Connect(s *backend.Socket) { d.want(s, connecting, true) }

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	d.count[backend.SystemCalls]++
	n, err := backend.SendVector(s.FD(), bufs)
	if err == syscall.EAGAIN {
		d.want(s, sendWaits, true)
		return 0, backend.ErrPending
	}
	return n, err
}

// Release implements backend.Driver.
func (d *Driver) Release(s *backend.Socket) {
	if s.State&known != 0 {
		// The descriptor may have been duplicated; then closing it would not end the kernel's interest in it.
		d.count[backend.SystemCalls]++
		_ = unix.EpollCtl(d.epfd, unix.EPOLL_CTL_DEL, s.FD(), nil)
	}
	s.State = 0
	d.slots.Remove(s)
	d.released.Add(s)
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.released.Report()
	d.changes.Drain(&d.slots, d.tell)
	if wait == 0 || n > 0 {
		d.look(false)
	} else {
		d.sleep(wait)
	}
	if d.err != nil {
		return n, d.err
	}
	return n + d.dispatch(), nil
}

// dispatch reports what the last look found, and returns how many events that were. A socket released by an earlier
// event of the same look is not found by its ID any longer, even if its slot or its descriptor has a new holder.
func (d *Driver) dispatch() (events int) {
	events = d.ready
	for i := range d.events[:d.ready] {
		e := &d.events[i]
		id := eventID(e)
		if id == wakeID {
			d.count[backend.SystemCalls]++
			d.alarm.Drain()
			continue
		}
		if id == timerID {
			d.timer.fired()
			events-- // it only ends the sleep
			continue
		}
		if s := d.slots.Lookup(backend.ID(id)); s != nil {
			d.report(s, e.Events, backend.ID(id))
		}
	}
	return events
}

func (d *Driver) report(s *backend.Socket, events uint32, id backend.ID) {
	if events&unix.EPOLLERR != 0 && s.State&(accepting|connecting) == 0 {
		if events = withoutQueue(s.FD(), events); events == 0 {
			return
		}
	}
	switch {
	case s.State&receiving != 0:
		if events&unix.EPOLLOUT != 0 && s.State&sendWaits != 0 {
			d.reportWritable(s)
			if d.slots.Lookup(id) != s || s.State&receiving == 0 {
				return
			}
		}
		if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			d.receive(s)
		}
	case s.State&accepting != 0:
		if drained := d.accept(s, id); drained && events&unix.EPOLLHUP != 0 {
			// Somebody has shut the socket down. Of a Unix one accept(2) says only that there is nothing.
			d.want(s, accepting, false)
			s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, syscall.EINVAL)
		}
	case s.State&connecting != 0:
		d.connected(s, events)
	case s.State&sendWaits != 0:
		d.reportWritable(s)
	case events&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		s.Owner.Broken()
	}
}

// connected reports the end of a connect. An entry of the error queue alone is none; but to take such an entry can take
// the socket's error with it, sock_dequeue_err_skb in net/core/skbuff.c, so that is asked for first.
func (d *Driver) connected(s *backend.Socket, events uint32) {
	err := backend.TakeError(s.FD())
	if err == nil && events&(unix.EPOLLOUT|unix.EPOLLHUP) == 0 {
		backend.DrainErrors(s.FD())
		return
	}
	d.want(s, connecting, false)
	s.Owner.Connected(err)
}

// withoutQueue empties the error queue of a socket, which EPOLLERR reports for as long as there is something in it, and
// returns what else there is to report.
func withoutQueue(fd int, events uint32) uint32 {
	if backend.DrainErrors(fd) && !backend.HasError(fd) {
		events &^= unix.EPOLLERR
	}
	return events
}

// reportWritable answers a pending Send: try again. If the connection has failed, that Send will say so.
func (d *Driver) reportWritable(s *backend.Socket) {
	d.want(s, sendWaits, false)
	s.Owner.Sent(0, nil)
}

// receive makes one recv(2): level-triggered readiness brings the rest of a busy socket after the others' turn.
func (d *Driver) receive(s *backend.Socket) {
	d.count[backend.SystemCalls]++
	n, err := backend.Recv(s.FD(), d.buf)
	switch {
	case n > 0:
		d.lent = n
		s.Owner.Received(d.buf[:n:n])
		if d.keeping {
			d.keeping = false
			d.buf = d.pool.Get(bufferSize)
		}
	case err == syscall.EAGAIN:
	default:
		if err == nil {
			err = io.EOF
		}
		d.want(s, receiving, false)
		s.Owner.ReceiveEnded(err)
	}
}

// accept takes connections, some at most, and reports whether there are no more.
func (d *Driver) accept(s *backend.Socket, id backend.ID) (drained bool) {
	for range acceptsPerLook {
		d.count[backend.SystemCalls]++
		fd, from, err := acceptOne(s)
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			d.want(s, accepting, false)
			s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
			return false
		}
		s.Owner.Accepted(backend.NewDescriptor(fd), from, nil)
		if d.slots.Lookup(id) != s || s.State&accepting == 0 {
			return false
		}
	}
	return false
}

// acceptOne takes a connection. A socket that others share may have become blocking, and readiness does not prove that a
// connection is still there when it is accepted.
func acceptOne(s *backend.Socket) (fd int, from backend.Address, err error) {
	if s.Shared {
		return backend.AcceptShared(s.FD())
	}
	return backend.AcceptFrom(s.FD())
}

// Keep implements backend.Driver. A few bytes are not worth the whole buffer.
func (d *Driver) Keep() func() {
	if d.lent < bufferSize/8 {
		return nil
	}
	d.keeping = true
	d.kept.Add(1)
	buf := d.buf
	return func() {
		d.kept.Add(-1)
		d.pool.Put(buf)
	}
}

// Features implements backend.Driver.
func (d *Driver) Features() []string {
	if d.raw == nil {
		return []string{"level-triggered", "own thread"}
	}
	return []string{"level-triggered", "parked in Go's poller"}
}

// Outstanding implements backend.Driver.
func (d *Driver) Outstanding() backend.Outstanding {
	return backend.Outstanding{Sockets: d.slots.Len() + d.released.Len(), Buffers: int(d.kept.Load())}
}

// Close implements backend.Driver.
func (d *Driver) Close() error {
	if d.file != nil {
		_ = d.file.Close()
	} else if d.epfd >= 0 {
		backend.CloseFD(d.epfd)
	}
	if d.alarm != nil {
		d.alarm.Close()
	}
	d.timer.close()
	d.epfd, d.file = -1, nil
	return nil
}
