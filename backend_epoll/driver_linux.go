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
	bufferSize = 64 << 10
	maxEvents  = 256 // of one epoll_pwait
	maxAccepts = 64  // of one listening socket for one event
	wakeID     = ^uint64(0)
	timerID    = wakeID - 1
)

// Driver is a backend.Driver on epoll.
type Driver struct {
	backend.Linux
	backend.Table
	epfd  int
	alarm *backend.EventFD
	file  *os.File        // the epoll descriptor in Go's poller, nil with Config.LockedThread
	raw   syscall.RawConn // of file
	timer *backend.SleepTimer

	mode       backend.SleepMode
	held       timespec           // how long a held sleep may take; the kernel reads it
	cannotHold bool               // the kernel has refused a held sleep
	pollOnce   func(uintptr) bool // for RawConn.Read, made once
	yieldOnce  func(uintptr) bool
	yielding   bool // Yield has made a wake-up that dispatch has not seen

	count  *backend.Counters
	events [maxEvents]unix.EpollEvent
	ready  int // how many of events the last pwait filled
	err    error

	buf     []byte // every receive uses it
	lent    int    // how many bytes of it Received has and has not kept; 0 outside of Received
	keeping bool   // Received has called Keep
	kept    atomic.Int64
	forward backend.Forwarding
	pool    backend.Pool
}

var (
	_ backend.Driver = (*Driver)(nil)
	_ backend.Mover  = (*Driver)(nil)

	_ backend.ForwardingDriver = (*Driver)(nil)
)

// New makes a driver. The error names the step that failed.
func New(c Config) (*Driver, error) {
	d := &Driver{epfd: -1, buf: make([]byte, bufferSize)}
	d.Setup("epoll", c.Sockets, d.updateKernel)
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
	e := epollEvent(unix.EPOLLIN|unix.EPOLLET&0xffffffff, wakeID) // each Signal is an event: it need not be read, epoll(7)
	if err = unix.EpollCtl(d.epfd, unix.EPOLL_CTL_ADD, d.alarm.FD(), &e); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if d.timer, err = backend.NewSleepTimer(); err != nil {
		return err
	}
	e = epollEvent(unix.EPOLLIN|unix.EPOLLET&0xffffffff, timerID)
	if err = unix.EpollCtl(d.epfd, unix.EPOLL_CTL_ADD, d.timer.FD(), &e); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if c.LockedThread {
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
	d.mode = backend.Parked
	d.pollOnce = func(uintptr) bool { return d.pwait(false) }
	d.yieldOnce = d.wakeOnce
	return nil
}

// Start implements backend.Driver.
func (d *Driver) Start(c *backend.Counters) error {
	d.count = c
	return nil
}

// Move implements backend.Mover: any thread may wait on an epoll descriptor.
func (d *Driver) Move() error { return nil }

// Receive implements backend.Driver.
func (d *Driver) Receive(s *backend.Socket, on bool) { d.SetInterest(s, receiving, on) }

// Accept implements backend.Driver.
func (d *Driver) Accept(s *backend.Socket, on bool) { d.SetInterest(s, accepting, on) }

// Connect implements backend.Driver.
func (d *Driver) Connect(s *backend.Socket) { d.SetInterest(s, connecting, true) }

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	d.count[backend.SystemCalls]++
	n, err := backend.SendVector(s.FD(), bufs)
	if err == syscall.EAGAIN {
		d.SetInterest(s, sendWaits, true)
		return 0, backend.ErrPending
	}
	return n, err
}

// SendFiles implements backend.Driver.
func (d *Driver) SendFiles(s *backend.Socket, bufs [][]byte, files []backend.Descriptor) (int, error) {
	d.count[backend.SystemCalls]++
	n, err := backend.SendFiles(s.FD(), bufs, files)
	if err == syscall.EAGAIN {
		d.SetInterest(s, sendWaits, true)
		return 0, backend.ErrPending
	}
	return n, err
}

// Release implements backend.Driver.
func (d *Driver) Release(s *backend.Socket) {
	if s.State&known != 0 {
		// If the descriptor was duplicated, closing it does not remove it from the epoll set.
		d.count[backend.SystemCalls]++
		_ = unix.EpollCtl(d.epfd, unix.EPOLL_CTL_DEL, s.FD(), nil)
	}
	s.State = 0
	d.MarkReleased(s)
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.ReportReleased()
	d.forward.Turn()
	d.FlushChanges()
	if wait == 0 || n > 0 {
		d.pwait(false)
	} else {
		d.sleep(wait)
	}
	if d.err != nil {
		return n, d.err
	}
	return n + d.dispatch(), nil
}

// dispatch reports the events of the last pwait and returns how many they were. A socket that an earlier one of these
// events has released is not found by its ID, even if its slot or its descriptor has a new holder.
func (d *Driver) dispatch() (events int) {
	events = d.ready
	for i := range d.events[:d.ready] {
		e := &d.events[i]
		id := eventID(e)
		if id == wakeID { // it has ended a sleep, which is all it is for
			if d.yielding {
				d.yielding = false
				events--
			}
			continue
		}
		if id == timerID {
			d.timer.Fired()
			events-- // it only ends the sleep
			continue
		}
		if s := d.Lookup(backend.ID(id)); s != nil {
			d.report(s, e.Events, backend.ID(id))
		}
	}
	return events
}

func (d *Driver) report(s *backend.Socket, events uint32, id backend.ID) {
	if events&unix.EPOLLERR != 0 && s.State&(accepting|connecting) == 0 && !receivesEnd(s, events) {
		if events = withoutQueue(s.FD(), events); events == 0 {
			return
		}
	}
	switch {
	case s.State&receiving != 0:
		if events&unix.EPOLLOUT != 0 && s.State&sendWaits != 0 {
			d.reportWritable(s)
			if d.Lookup(id) != s || s.State&receiving == 0 {
				return
			}
		}
		if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			d.receive(s)
		}
	case s.State&accepting != 0:
		if drained := d.accept(s, id); drained && events&unix.EPOLLHUP != 0 {
			// The socket was shut down. On a Unix one accept(2) reports only that there is no connection.
			d.SetInterest(s, accepting, false)
			s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, syscall.EINVAL)
		}
	case s.State&connecting != 0:
		d.connected(s, events)
	case s.State&sendWaits != 0:
		d.reportWritable(s)
	case events&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		s.Owner.HungUp()
	}
}

// connected reports the end of a connect. An event can be due to the error queue alone. Taking an entry of that queue
// can take the socket's error with it, sock_dequeue_err_skb in net/core/skbuff.c, so connected asks for the error
// first.
func (d *Driver) connected(s *backend.Socket, events uint32) {
	err := backend.TakeError(s.FD())
	if err == nil && events&(unix.EPOLLOUT|unix.EPOLLHUP) == 0 {
		backend.DrainErrors(s.FD())
		return
	}
	d.SetInterest(s, connecting, false)
	s.Owner.Connected(err)
}

// receivesEnd reports whether the next recv(2) says all about an event: the connection is over, for whatever reason, and
// what is in its error queue does not matter.
func receivesEnd(s *backend.Socket, events uint32) bool {
	return events&unix.EPOLLHUP != 0 && s.State&receiving != 0
}

// withoutQueue empties the error queue of a socket and returns the events that are left. EPOLLERR is among them only if
// the socket has an error besides the queue.
func withoutQueue(fd int, events uint32) uint32 {
	if backend.DrainErrors(fd) && !backend.HasError(fd) {
		events &^= unix.EPOLLERR
	}
	return events
}

// reportWritable answers a pending Send, so that its owner tries again. If the connection has failed, that Send reports
// it.
func (d *Driver) reportWritable(s *backend.Socket) {
	d.SetInterest(s, sendWaits, false)
	s.Owner.Sent(0, nil)
}

// receive makes one recv(2). Readiness is level-triggered, so the rest of a busy socket comes after the others' turn.
func (d *Driver) receive(s *backend.Socket) {
	n, err := 0, backend.ErrPending
	if s.Files {
		d.count[backend.SystemCalls]++
		n, err = backend.ReceiveWithFiles(s, d.buf)
	} else if s.Forwards {
		if to, ok := s.WantsForward(); ok {
			n, err = d.moveOn(s, to)
		}
	}
	if err == backend.ErrPending {
		d.count[backend.SystemCalls]++
		n, err = backend.Recv(s.FD(), d.buf)
	}
	switch {
	case n > 0:
		d.received(s, n)
	case err == syscall.EAGAIN:
	default:
		if err == nil {
			err = io.EOF
		}
		d.SetInterest(s, receiving, false)
		s.Owner.ReceiveEnded(err)
	}
}

// received reports n bytes of buf.
func (d *Driver) received(s *backend.Socket, n int) {
	d.lent = n
	s.Owner.Received(d.buf[:n:n])
	d.lent = 0
	if d.keeping {
		d.keeping = false
		d.buf = d.pool.Get(bufferSize)
	} else {
		backend.Poison(d.buf[:n])
	}
}

// Forwards implements backend.ForwardingDriver.
func (*Driver) Forwards() {}

// moveOn has the socket's Forwarder take what has come. It returns how many bytes are left in buf for the owner, or what
// Forwarding.Move does.
func (d *Driver) moveOn(s *backend.Socket, to backend.Descriptor) (int, error) {
	left, err := d.forward.Move(s, to, &d.count[backend.SystemCalls])
	for left > 0 {
		m, err := d.forward.Rest(d.buf[:min(left, len(d.buf))], &d.count[backend.SystemCalls])
		if left -= m; err != nil || left == 0 {
			return m, err
		}
		d.received(s, m)
	}
	return 0, err
}

// accept takes up to maxAccepts connections and reports whether there are no more.
func (d *Driver) accept(s *backend.Socket, id backend.ID) (drained bool) {
	for range maxAccepts {
		d.count[backend.SystemCalls]++
		fd, from, err := acceptOne(s)
		if err == syscall.EAGAIN {
			return true
		}
		if err != nil {
			d.SetInterest(s, accepting, false)
			s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
			return false
		}
		s.Owner.Accepted(backend.NewDescriptor(fd), from, nil)
		if d.Lookup(id) != s || s.State&accepting == 0 {
			return false
		}
	}
	return false
}

// acceptOne takes a connection. A shared socket may have become blocking, and a connection that was ready can be gone
// by the time it is accepted, so it needs a call that never blocks.
func acceptOne(s *backend.Socket) (fd int, from backend.Address, err error) {
	if s.Shared.Load() {
		return backend.AcceptShared(s.FD())
	}
	return backend.AcceptFrom(s.FD())
}

// Keep implements backend.Driver. It refuses to give the whole buffer away for a few bytes.
func (d *Driver) Keep() func() {
	if d.lent < bufferSize/8 {
		return nil
	}
	d.keeping, d.lent = true, 0
	d.kept.Add(1)
	buf := d.buf
	return backend.GiveBackOnce(func() {
		d.kept.Add(-1)
		d.pool.Put(buf)
	}, "a receive buffer")
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
	return backend.Outstanding{Sockets: d.Unreleased(), Buffers: int(d.kept.Load())}
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
	d.timer.Close()
	d.forward.Close()
	d.epfd, d.file = -1, nil
	return nil
}
