package uring

import (
	"fmt"
	"io"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Operations, in the upper byte of user_data. The rest of it is the socket's ID.
const (
	opReceive uint64 = iota << backend.IDBits
	opAccept
	opConnect
	opSend
	opWatch
	opCancel
	opWake

	opMask uint64 = 1<<64 - 1<<backend.IDBits
)

// Bits of Socket.State.
const (
	wantReceive uint32 = 1 << iota
	wantAccept
	armed      // a receive or an accept is in flight
	cancelling // and its cancellation was asked for
	starved    // a receive waits for buffers
	stream     // Receive was called: hang-ups are watched for while receiving is off
	watched    // that watch is in flight
	releasing
)

// Driver is a backend.Driver on io_uring. After Start it belongs to one thread.
type Driver struct {
	config   Config
	rung     rung
	ring     *Ring
	buffers  *buffers
	waker    waker
	slots    backend.Slots
	changes  backend.Changes
	released backend.Releases
	tell     func(*backend.Socket) // tellKernel, made once
	count    *backend.Counters
	enters   uint64 // of the ring, as of the last Poll
	requests int    // in flight
	stashed  []CQE  // taken from the queue to make room in it, to be looked at by the next Poll
	hungry   []*backend.Socket
	spare    SQE   // filled instead of a real entry when the ring has failed
	err      error // why the ring has failed
	locked   bool
}

var _ backend.Driver = (*Driver)(nil)

// New makes a driver. The error wraps the errno and names the step that failed.
func New(c Config) (*Driver, error) {
	c = c.withDefaults()
	ring, rung, err := setUp(c)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: c, rung: rung, ring: ring, count: new(backend.Counters)}
	d.tell = d.tellKernel
	d.slots.Reserve(c.Sockets)
	return d, nil
}

// Start implements backend.Driver. The goroutine is locked to its thread until Close: the ring is that thread's.
func (d *Driver) Start(c *backend.Counters) (err error) {
	runtime.LockOSThread()
	d.locked = true
	d.count = c
	if err := d.ring.Enable(); err != nil {
		return err
	}
	_ = d.ring.RegisterRingFD() // only cheaper; the ring works without
	if d.buffers, err = newBuffers(d.ring, d.config); err != nil {
		return err
	}
	return d.startWaker()
}

// Attach implements backend.Driver.
func (d *Driver) Attach(s *backend.Socket) error {
	s.State, s.InFlight = 0, 0
	if !d.slots.Insert(s) {
		return fmt.Errorf("uring: attach: %w", syscall.ENOBUFS)
	}
	return nil
}

// Receive implements backend.Driver.
func (d *Driver) Receive(s *backend.Socket, on bool) {
	s.State |= stream
	d.want(s, wantReceive, on)
}

// Accept implements backend.Driver.
func (d *Driver) Accept(s *backend.Socket, on bool) { d.want(s, wantAccept, on) }

func (d *Driver) want(s *backend.Socket, wish uint32, on bool) {
	if on {
		s.State |= wish
	} else {
		s.State &^= wish
	}
	d.changes.Add(s)
}

// tellKernel asks the kernel for what is wanted from a socket now. What is in flight against that is cancelled; when
// that has ended, it comes here again.
func (d *Driver) tellKernel(s *backend.Socket) {
	if s.State&releasing != 0 {
		return
	}
	wanted := s.State&(wantReceive|wantAccept) != 0
	switch {
	case wanted && s.State&(armed|starved) == 0:
		d.arm(s)
	case !wanted && s.State&armed != 0:
		d.cancel(s)
	}
	if s.State&(stream|wantReceive|watched) == stream {
		// POLLERR and POLLHUP are always watched for. Multishot is edge-triggered, so a hang-up that lasts is
		// reported once. Since Linux 5.13; io_uring_prep_poll_multishot(3).
		s.State |= watched
		d.request(s, opWatch).PrepPollAdd(s.FD, 0, true)
	}
}

func (d *Driver) arm(s *backend.Socket) {
	s.State |= armed
	switch {
	case s.State&wantAccept != 0:
		d.request(s, opAccept).PrepAcceptMultishot(s.FD, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	case d.rung.multishot:
		d.request(s, opReceive).PrepRecvMultishot(s.FD, bufferGroup)
	default:
		d.request(s, opReceive).PrepRecvSelect(s.FD, bufferGroup, 0)
	}
}

func (d *Driver) cancel(s *backend.Socket) {
	if s.State&cancelling != 0 {
		return
	}
	s.State |= cancelling
	op := opReceive
	if s.State&stream == 0 {
		op = opAccept
	}
	d.request(s, opCancel).PrepCancel(op|uint64(s.ID), 0)
}

// Connect implements backend.Driver. The connect(2) itself was made by a system call; a socket becomes writable when
// it has ended.
func (d *Driver) Connect(s *backend.Socket) {
	d.request(s, opConnect).PrepPollAdd(s.FD, unix.POLLOUT, false)
}

// Send implements backend.Driver.
func (d *Driver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	e := d.request(s, opSend)
	if len(bufs) == 1 {
		e.PrepSend(s.FD, bufs[0], unix.MSG_NOSIGNAL)
	} else {
		v := backend.NewVector()
		v.Set(bufs)
		s.Op = v
		e.PrepSendMsg(s.FD, &v.Header, unix.MSG_NOSIGNAL)
	}
	return 0, backend.ErrPending
}

// Release implements backend.Driver.
func (d *Driver) Release(s *backend.Socket) {
	s.State |= releasing
	s.State &^= wantReceive | wantAccept
	if s.InFlight == 0 {
		d.letGo(s)
		return
	}
	// All requests on the descriptor at once. Since Linux 5.19; io_uring_prep_cancel(3).
	d.request(s, opCancel).PrepCancelFD(s.FD, CancelAll)
}

func (d *Driver) letGo(s *backend.Socket) {
	d.slots.Remove(s)
	d.released.Add(s)
}

// request returns an entry for an operation on a socket, which is in flight from now on. The caller fills in the rest;
// Prep leaves user_data alone.
func (d *Driver) request(s *backend.Socket, op uint64) *SQE {
	s.InFlight++
	e := d.entry()
	e.UserData = op | uint64(s.ID)
	return e
}

// entry returns a zeroed entry. With a full queue it submits first.
func (d *Driver) entry() *SQE {
	d.requests++
	d.count[backend.Submissions]++
	for {
		if e := d.ring.SQE(); e != nil {
			return e
		}
		err := d.ring.Submit()
		switch err {
		case nil:
		case syscall.EBUSY, syscall.EAGAIN:
			d.stash() // the kernel wants completions to be taken first
		default:
			d.err = err
			d.spare = SQE{}
			return &d.spare
		}
	}
}

// stash makes room in the completion queue while its completions cannot be dealt with, because a callback is running.
func (d *Driver) stash() {
	for c := d.ring.Peek(); c != nil; c = d.ring.Peek() {
		d.stashed = append(d.stashed, *c)
		d.ring.Advance()
	}
	_ = d.ring.Look()
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.released.Report()
	d.feed()
	d.changes.Drain(&d.slots, d.tell)
	if d.err != nil {
		return n, d.err
	}
	var err error
	if wait == 0 || n > 0 || len(d.stashed) > 0 {
		err = d.ring.Look()
	} else {
		err = d.ring.Wait(wait)
	}
	if err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
		return n, err
	}
	if d.ring.Overflowed() {
		d.count[backend.Overflows]++
	}
	n += d.reap()
	d.buffers.publish()
	d.count[backend.SystemCalls] += d.ring.Enters() - d.enters
	d.enters = d.ring.Enters()
	return n, nil
}

// reap deals with the completions that are there now; not with such as come meanwhile, so that a turn ends.
func (d *Driver) reap() int {
	stashed := d.stashed
	d.stashed = nil
	ready := int(d.ring.Ready())
	for i := range stashed {
		d.complete(&stashed[i])
	}
	taken := 0
	for ; taken < ready; taken++ {
		c := d.ring.Peek()
		if c == nil {
			break // a callback has stashed them
		}
		copied := *c
		d.ring.Advance()
		d.complete(&copied)
	}
	n := len(stashed) + taken
	d.count[backend.Completions] += uint64(n)
	return n
}

// complete deals with one completion. The last of a request, without F_MORE, ends it.
func (d *Driver) complete(c *CQE) {
	op := c.UserData & opMask
	if op == opWake {
		d.woken(c)
		return
	}
	last := !c.More()
	s := d.slots.Lookup(backend.ID(c.UserData &^ opMask))
	if last {
		d.requests--
		if s != nil {
			s.InFlight--
		}
	}
	switch op {
	case opReceive:
		d.received(s, c, last)
	case opAccept:
		d.accepted(s, c, last)
	case opConnect:
		if s != nil && s.State&releasing == 0 {
			s.Owner.Connected(backend.TakeError(s.FD))
		}
	case opSend:
		d.sent(s, c)
	case opWatch:
		d.hungUp(s, c, last)
	case opCancel: // what it was to cancel says for itself how it ended
	}
	if s != nil && s.State&releasing != 0 && s.InFlight == 0 && d.slots.Lookup(s.ID) == s {
		d.letGo(s)
	}
}

func (d *Driver) received(s *backend.Socket, c *CQE, last bool) {
	if s != nil && last {
		s.State &^= armed | cancelling
	}
	if bid, ok := c.Buffer(); ok {
		d.buffers.taken()
		if s != nil && c.Res > 0 {
			s.Owner.Received(d.buffers.lend(bid, int(c.Res)))
		}
		d.buffers.giveBack(bid)
	}
	if s == nil || !last || s.State&releasing != 0 {
		return
	}
	errno := syscall.Errno(-c.Res)
	switch {
	case c.Res > 0 || errno == syscall.ECANCELED || errno == syscall.EINTR || errno == syscall.EAGAIN:
		d.changes.Add(s) // ask again, if it is wanted
	case errno == syscall.ENOBUFS:
		d.starve(s)
	case c.Res == 0:
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(io.EOF)
	default:
		d.want(s, wantReceive, false)
		s.Owner.ReceiveEnded(errno)
	}
}

// starve keeps a socket until there are buffers again. The kernel takes nothing out of a socket without one, so
// nothing is lost.
func (d *Driver) starve(s *backend.Socket) {
	d.count[backend.NoBuffers]++
	d.buffers.grow()
	if s.State&starved == 0 {
		s.State |= starved
		d.hungry = append(d.hungry, s)
	}
}

// feed lets starved sockets receive again, as many as there are buffers.
func (d *Driver) feed() {
	d.buffers.collect()
	d.buffers.publish()
	n := min(len(d.hungry), d.buffers.free)
	for _, s := range d.hungry[:n] {
		s.State &^= starved
		d.changes.Add(s)
	}
	if n > 0 {
		k := copy(d.hungry, d.hungry[n:])
		clear(d.hungry[k:])
		d.hungry = d.hungry[:k]
	}
	d.buffers.shrink(n > 0)
}

func (d *Driver) accepted(s *backend.Socket, c *CQE, last bool) {
	if s != nil && last {
		s.State &^= armed | cancelling
	}
	switch {
	case c.Res >= 0 && (s == nil || s.State&releasing != 0):
		backend.CloseFD(int(c.Res))
		return
	case c.Res >= 0:
		s.Owner.Accepted(int(c.Res), nil)
	case s == nil || s.State&releasing != 0:
		return
	case c.Res != -int32(syscall.ECANCELED):
		d.want(s, wantAccept, false)
		s.Owner.Accepted(-1, syscall.Errno(-c.Res))
	}
	if last && s.State&releasing == 0 {
		d.changes.Add(s)
	}
}

func (d *Driver) sent(s *backend.Socket, c *CQE) {
	if s == nil {
		return
	}
	if v, ok := s.Op.(*backend.Vector); ok {
		s.Op = nil
		backend.FreeVector(v)
	}
	errno := syscall.Errno(-c.Res)
	switch {
	case c.Res >= 0:
		if s.State&releasing == 0 {
			s.Owner.Sent(int(c.Res), nil)
		}
	case s.State&releasing != 0:
	case errno == syscall.EINTR || errno == syscall.EAGAIN:
		s.Owner.Sent(0, nil)
	default:
		s.Owner.Sent(0, errno)
	}
}

func (d *Driver) hungUp(s *backend.Socket, c *CQE, last bool) {
	if s == nil {
		return
	}
	if last {
		s.State &^= watched
	}
	if s.State&(releasing|wantReceive) != 0 || c.Res < 0 {
		return
	}
	if c.Res&(unix.POLLERR|unix.POLLHUP) != 0 {
		s.Owner.Broken()
	} else if last {
		d.changes.Add(s)
	}
}

// Keep implements backend.Driver.
func (d *Driver) Keep() func() { return d.buffers.keep(d.Wake) }

// Features implements backend.Driver.
func (d *Driver) Features() []string {
	f := append([]string{"rung " + d.rung.name}, d.rung.features...)
	if d.config.EventFD || !d.rung.messages {
		return append(f, "wake by eventfd")
	}
	return append(f, "wake by MSG_RING")
}

// Outstanding implements backend.Driver.
func (d *Driver) Outstanding() backend.Outstanding {
	o := backend.Outstanding{Sockets: d.slots.Len() + d.released.Len(), Requests: d.requests - d.waker.requests()}
	if d.buffers != nil {
		o.Buffers = d.buffers.keptNow()
	}
	return o
}

// Close implements backend.Driver: it cancels what is in flight and waits for it, closes the ring, and only then frees
// the memory that the kernel may have been writing to.
func (d *Driver) Close() error {
	if d.ring == nil {
		return nil
	}
	if d.locked && d.err == nil {
		d.cancelAll()
	}
	d.waker.close()
	err := d.ring.Close()
	if d.buffers != nil {
		d.buffers.close()
	}
	d.ring = nil
	if d.locked {
		d.locked = false
		runtime.UnlockOSThread()
	}
	return err
}

func (d *Driver) cancelAll() {
	d.entry().PrepCancel(0, CancelAny|CancelAll) // Since Linux 5.19
	for tries := 0; d.requests > 0 && tries < 100; tries++ {
		if err := d.ring.Wait(10 * time.Millisecond); err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
			return
		}
		for c := d.ring.Peek(); c != nil; c = d.ring.Peek() {
			op := c.UserData & opMask
			if !c.More() && (op != opWake || d.waker.event != nil) {
				d.requests--
			}
			if op == opAccept && c.Res >= 0 {
				backend.CloseFD(int(c.Res))
			}
			d.ring.Advance()
		}
	}
}
