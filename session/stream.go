package session

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// phase is how far a stream's life has come. It only grows.
type phase uint8

const (
	dialing   phase = iota // Connect was called, no connection yet
	open                   // OnOpen ran or is running
	closing                // Close was called: the queue goes out, nothing is read
	ending                 // over: the loop has to tell the driver
	releasing              // the driver was told; the kernel may still use memory and descriptor
	closed                 // the descriptor is closed, OnClose ran or is running
)

// Bits of Stream.flow: why bytes are not delivered now. They are read by the loop for each event, without a lock.
const (
	flowPaused  uint32 = 1 << iota // by PauseRead
	flowBlocked                    // the queue went above HighWater and has not fallen under LowWater
	flowShut                       // Close or Abort was called, or the stream has ended
	flowResumed                    // ResumeRead was called after a pause: bytes that were seen count as new
)

// Stream is one connection, TCP or Unix, on one loop of a Transport.
//
// Methods that write, pause, resume and end may be called from any goroutine. Reading methods, SetValue and timers
// belong to the stream's loop: to callbacks of its own, or of another stream of that loop, or to functions run by Post.
// On a closed stream every method returns net.ErrClosed or does nothing.
type Stream struct {
	sock backend.Socket
	loop *Loop
	opts *StreamOptions
	from *listener // that accepted it, or nil
	id   uint64
	flow atomic.Uint32
	hint atomic.Int32 // size of the largest frame that WriteFrame has encoded

	mu       sync.Mutex // guards what follows, up to the next comment
	phase    phase
	abort    bool  // end with a reset
	cause    error // what OnClose will be told
	blamed   bool  // cause is the peer's fault, and the stream closes in order
	finWant  bool  // CloseWrite was called
	finSent  bool
	sending  bool // a Send is with the driver
	posted   bool // a task of this stream is on its way to the loop
	out      queue
	accepted uint64 // bytes that writes have been given, ever
	sent     uint64 // of these, bytes that the kernel took
	notify   []notification
	watched  bool  // an idle timeout is set
	direct   int64 // when bytes last went out from another goroutine, if watched
	fd       int   // -1: none
	dial     *dial
	local    backend.Address
	remote   backend.Address

	// What follows belongs to the loop.
	handler   Handler
	value     any
	in        inbox
	unseen    int    // bytes of in that OnData has not been called for
	again     bool   // OnData is to be called for bytes of in although it has seen them
	read      uint64 // bytes that were read, ever
	framer    laster // *framer[M], the state of the present FrameHandler; nil: there is none
	changes   int    // calls of SetHandler
	receiving bool   // the driver was told to receive
	full      bool   // ReadBufferLimit was reached, and half of it not yet again
	held      bool   // bytes came during a pause: no more of them
	eof       bool   // the peer has finished; OnEOF may still have to be called
	eofTold   bool   // OnEOF was called
	rxDone    bool   // ReceiveEnded was reported
	draining  bool   // over, but what came before the end is delivered
	opened    bool   // OnOpen was called
	late      bool   // on the loop's list for the end of the turn
	turn      uint64 // of the last delivery, for the budget
	turnReads int
	turnBytes int
	index     int // in loop.streams
	idle      *idle
	closer    *backend.Timer
	timers    *Timer // list of active timers
}

// streamEvents is a Stream as its driver and its loop see it, so that users do not.
type streamEvents Stream

var (
	_ backend.Events    = (*streamEvents)(nil)
	_ backend.EndTurner = (*streamEvents)(nil)
	_ backend.Task      = (*streamEvents)(nil)
)

func (s *Stream) events() *streamEvents { return (*streamEvents)(s) }

// newStream makes a stream for a loop that pick has chosen. attach or a dial follows.
func newStream(l *Loop, h Handler, o *StreamOptions) *Stream {
	s := &Stream{loop: l, handler: h, opts: o, id: l.newID(), fd: -1, index: -1}
	s.sock.FD = -1
	s.out.pool = &l.Pool
	s.in.pool, s.in.loop = &l.Pool, &l.Count
	return s
}

// adopt is attach for a descriptor from elsewhere, which may come too late.
func (s *Stream) adopt(fd int) {
	if s.loop.draining {
		backend.CloseFD(fd)
		s.failed(net.ErrClosed)
		return
	}
	s.attach(fd)
}

// attach gives the stream its connected descriptor, which it owns from now on, and opens it.
func (s *Stream) attach(fd int) {
	s.sock.FD, s.sock.Owner = fd, s.events()
	local, remote := backend.LocalAddress(fd), backend.RemoteAddress(fd)
	err := s.loop.Driver.Attach(&s.sock)
	s.mu.Lock()
	s.fd, s.local, s.remote = fd, local, remote
	if err == nil && s.phase == dialing {
		s.phase, s.dial = open, nil
	}
	p := s.phase
	s.mu.Unlock()
	if err != nil {
		s.failed(err)
		s.finish()
		return
	}
	s.loop.add(s)
	if p != open { // ended while it was being dialled
		s.mark()
		return
	}
	s.opened = true
	s.loop.Count[backend.Opened]++
	s.SetIdleTimeout(s.opts.IdleTimeout)
	s.callOpen()
	s.mark()
}

// mark has EndTurn called at the end of this turn. Loop only.
func (s *Stream) mark() {
	if !s.late {
		s.late = true
		s.loop.Late(s.events())
	}
}

// markLocked gets the loop to look after the stream, from any goroutine. mu is held.
func (s *Stream) markLocked(here bool) {
	if here {
		s.mark()
	} else if !s.posted {
		s.posted = true
		_ = s.loop.Post(s.events()) // if the loop has ended, so has the stream
	}
}

// Run implements backend.Task: another goroutine has changed something.
func (e *streamEvents) Run() {
	s := (*Stream)(e)
	s.mu.Lock()
	s.posted = false
	s.mu.Unlock()
	s.mark()
}

// EndTurn implements backend.EndTurner. It is the one place where a stream catches up with what was asked of it:
// sends, answers, delivers, and ends.
func (e *streamEvents) EndTurn() {
	s := (*Stream)(e)
	s.late = false
	s.mu.Lock()
	s.sendLocked()
	due := s.dueLocked()
	writable := s.unblockLocked()
	goesOn := s.phase == open && !s.finWant
	s.mu.Unlock()
	for _, n := range due {
		s.callNotify(n.fn, nil)
	}
	if writable {
		s.callWritable()
	}
	s.deliver()
	if !goesOn {
		s.progress()
	}
	s.controlReceive()
}

// progress moves the stream towards its end, as far as it can go now.
func (s *Stream) progress() {
	s.mu.Lock()
	drained := s.out.n == 0 && !s.sending
	if s.finWant && !s.finSent && drained && s.phase == open {
		s.finSent = true
		s.loop.Count[backend.SystemCalls]++
		_ = backend.ShutdownWrite(s.fd) // fails only if the connection has, which a receive will tell
	}
	if s.phase == closing && drained {
		s.phase = ending
	}
	p := s.phase
	s.mu.Unlock()
	switch {
	case p == closing && s.closer == nil:
		s.startCloser()
	case p == ending:
		s.release()
	}
}

// failed ends the stream with err, unless it has ended already. What is queued is dropped. Any goroutine.
func (s *Stream) failed(err error) {
	s.mu.Lock()
	s.failLocked(err, s.loop.Here())
	s.mu.Unlock()
}

func (s *Stream) failLocked(err error, here bool) {
	if s.phase >= ending {
		return
	}
	s.phase = ending
	if s.cause == nil {
		s.cause = err
	}
	s.markLocked(here)
}

// release tells the driver to let go of the socket.
func (s *Stream) release() {
	s.mu.Lock()
	s.phase = releasing
	attached := s.fd >= 0
	s.draining = s.cause != nil && !s.abort && s.flow.Load()&flowShut == 0
	d := s.dial
	s.mu.Unlock()
	s.receiving = false
	s.stopTimers()
	switch {
	case attached:
		s.loop.Driver.Release(&s.sock)
	case d != nil:
		d.cancel()
	default:
		s.finish()
	}
}

// Released implements backend.Events: the descriptor is the stream's alone.
func (e *streamEvents) Released() {
	s := (*Stream)(e)
	if s.draining {
		s.drain()
	}
	s.finish()
}

// finish closes the descriptor and tells the user.
func (s *Stream) finish() {
	s.mu.Lock()
	if s.phase == closed {
		s.mu.Unlock()
		return
	}
	s.phase = closed
	s.flow.Or(flowShut)
	err, fd, d := s.cause, s.fd, s.dial
	if fd >= 0 {
		s.closeDescriptor(fd)
	}
	s.fd, s.sock.FD = -1, -1
	s.out.drop()
	pending := s.notify
	s.notify = nil
	s.mu.Unlock()

	lost := err
	if lost == nil {
		lost = net.ErrClosed
	}
	for _, n := range pending {
		s.callNotify(n.fn, lost)
	}
	s.stopTimers()
	s.loop.remove(s)
	s.loop.unpick()
	if s.opened {
		s.loop.Count[backend.Closed]++
	}
	if d != nil && d.result != nil {
		d.tell(err) // Dial returns the error, and there never was a stream
	} else {
		s.callClose(err)
	}
	s.loop.Count[backend.BytesDropped] += uint64(s.in.len())
	s.in.drop()
	if s.from != nil {
		s.from.ended()
	}
	s.loop.unhold()
}

// closeDescriptor closes fd as the stream ended: with a reset, or without leaving bytes behind that would cause one.
// mu is held, so that no other goroutine is about to send to it.
func (s *Stream) closeDescriptor(fd int) {
	s.loop.Count[backend.SystemCalls]++
	switch {
	case s.abort:
		s.loop.Count[backend.SystemCalls]++
		backend.ResetOnClose(fd)
	case (s.cause == nil || s.blamed) && !s.rxDone:
		s.loop.Count[backend.SystemCalls]++
		backend.Discard(fd, s.opts.ReadBufferLimit)
	}
	backend.CloseFD(fd)
}

// ID is a number that no other stream of the Transport has or had.
func (s *Stream) ID() uint64 { return s.id }

// Loop is the index of the stream's loop, less than Options.Loops. What is kept for each loop needs no lock in callbacks.
func (s *Stream) Loop() int { return s.loop.index }

// Options returns the limits that the stream keeps, defaults filled in.
func (s *Stream) Options() StreamOptions { return *s.opts }

// Value returns what SetValue was given last.
func (s *Stream) Value() any { return s.value }

// SetValue keeps anything with the stream. It belongs to the stream's loop; OnOpen is the usual place. Other
// goroutines may call Value if they learned of the stream after that.
func (s *Stream) SetValue(v any) { s.value = v }

// SetHandler gives the stream another handler, which gets the callbacks from the next one on. Bytes that wait when the
// present callback ends count as new for it. Loop only.
func (s *Stream) SetHandler(h Handler) {
	s.handler, s.framer, s.in.wanted = h, nil, 0
	s.changes++
	if s.in.len() > 0 {
		s.redeliver()
	}
}

// LocalAddr returns the address of this end, or nil while there is no connection.
func (s *Stream) LocalAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local.NetAddr()
}

// RemoteAddr returns the address of the peer, or nil while there is no connection.
func (s *Stream) RemoteAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remote.NetAddr()
}

// StreamStats are a stream's figures, exact at the moment of the call.
type StreamStats struct {
	BytesQueued uint64 // given to writes, ever
	BytesSent   uint64 // of these, taken by the kernel
}

// Stats returns the stream's figures. Any goroutine.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return StreamStats{BytesQueued: s.accepted, BytesSent: s.sent}
}

// SyscallConn gives access to the descriptor, for socket options. Control runs its function while the descriptor is
// sure to stay open, and holds up writers meanwhile; it returns net.ErrClosed after the end. Read and Write return
// errors.ErrUnsupported: the loop does that.
func (s *Stream) SyscallConn() (syscall.RawConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil, net.ErrClosed
	}
	return rawConn{s}, nil
}

type rawConn struct{ s *Stream }

func (c rawConn) Control(f func(fd uintptr)) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(c.s.fd))
	return nil
}

func (rawConn) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (rawConn) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

// Connected implements backend.Events. A stream is attached when it is connected.
func (*streamEvents) Connected(error) {}

// Accepted implements backend.Events. A stream accepts nothing.
func (*streamEvents) Accepted(int, backend.Address, error) {}
