package session

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/tandem-io/tandem/backend"
)

// Bits of Stream.flow: why bytes are not delivered now. They are read by the loop for each event, without a lock.
const (
	flowPaused   uint32 = 1 << iota // by PauseRead
	flowBlocked                     // the queue went above HighWater and has not fallen under LowWater
	flowShut                        // Close or Abort was called, or the stream has ended: what comes is dropped
	flowDetached                    // Detach was called: what comes is kept for the Conn
	flowResumed                     // ResumeRead was called after a pause: bytes that were seen count as new
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
	reset    bool  // end with a reset
	cause    error // what OnClose will be told
	blamed   bool  // cause is the peer's fault, and the stream closes in order
	staged   bool  // close in stages: FIN, then wait for the peer's end
	hurried  bool  // not for long: the peer had its time
	finWant  bool  // CloseWrite was called
	finSent  bool
	sending  bool  // a Send is with the driver
	posted   bool  // a task of this stream is on its way to the loop
	pins     int16 // calls that use the descriptor without the lock
	orphaned bool  // the stream has ended meanwhile: the last of them closes orphan
	orphan   int
	watched  bool // an idle timeout is set
	out      queue
	accepted uint64 // bytes that writes have been given, ever
	sent     uint64 // of these, bytes that the kernel took
	notify   []notification
	posts    []func() // accepted by Post and not run yet
	direct   int64    // when bytes last went out from another goroutine, if watched
	fd       int      // -1: none
	dial     *dial
	handOff  *detached // Detach was called
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
	tight     bool   // stopped by the Transport's MemoryLimit
	listed    bool   // on the loop's list of those
	held      bool   // bytes came during a pause: no more of them
	eof       bool   // the peer has finished; OnEOF may still have to be called
	eofTold   bool   // OnEOF was called
	rxDone    bool   // ReceiveEnded was reported
	draining  bool   // failed and released: what the kernel still has is delivered, turn by turn
	drained   bool   // and the kernel has no more
	over      bool   // the user has been told everything but OnClose, which is being called or was
	opened    bool   // OnOpen was called
	running   bool   // OnOpen has returned: everything else may run
	late      bool   // on the loop's list for the end of the turn
	turn      uint64 // of the last delivery, for the budget
	turnReads int
	turnBytes int
	turnTime  int64  // nanoseconds that callbacks for data took in that turn
	discarded uint64 // bytes that came when nobody wanted them any longer
	counted   int    // bytes of in that the Transport's MemoryLimit counts
	index     int    // in loop.streams
	idle      *idle
	closer    *closer
	stuck     *backend.Timer
	message   *backend.Timer // MessageTimeout of a FrameHandler
	timers    *Timer         // list of active timers
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
func (s *Stream) adopt(fd int, remote backend.Address) {
	if s.loop.draining {
		backend.CloseFD(fd)
		s.failed(net.ErrClosed)
		return
	}
	s.attach(fd, remote)
}

// attach gives the stream its connected descriptor, which it owns from now on, and opens it. remote is the peer's
// address if it is known already.
func (s *Stream) attach(fd int, remote backend.Address) {
	s.sock.FD, s.sock.Owner = fd, s.events()
	local := backend.LocalAddress(fd)
	if remote.Kind == backend.NoAddress {
		remote = backend.RemoteAddress(fd)
	}
	s.setAddresses(local, remote)
	err := s.loop.Driver.Attach(&s.sock)
	s.mu.Lock()
	s.fd = fd
	wasDialing := s.phase == dialing
	if err == nil && wasDialing {
		s.moveLocked(open)
		s.dial = nil
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		s.failed(s.opError("open", err))
		s.finish()
		return
	case !wasDialing: // it ended while it was being dialled
		s.loop.add(s)
		s.mark()
		return
	}
	s.loop.add(s)
	s.opened = true
	s.loop.Count[backend.Opened]++
	s.callOpen()
	s.running = true
	s.startIdle()
	s.startTimers()
	s.runPosts()
	s.mark()
}

// setAddresses keeps the addresses, with an unspecified one for an end that is not known: a peer that has reset before
// it was accepted has none any longer.
func (s *Stream) setAddresses(local, remote backend.Address) {
	if local.Kind == backend.NoAddress {
		local = remote.Unspecified()
	}
	if remote.Kind == backend.NoAddress {
		remote = local.Unspecified()
	}
	s.mu.Lock()
	s.local, s.remote = local, remote
	s.mu.Unlock()
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

// Run implements backend.Task: another goroutine has changed something, or Post was called.
func (e *streamEvents) Run() {
	s := (*Stream)(e)
	s.mu.Lock()
	s.posted = false
	p := s.phase
	s.mu.Unlock()
	if p == closed {
		return
	}
	s.mark()
	if s.running {
		s.runPosts()
	}
}

// EndTurn implements backend.EndTurner. It is the one place where a stream catches up with what was asked of it:
// sends, answers, delivers, and ends.
func (e *streamEvents) EndTurn() {
	s := (*Stream)(e)
	s.late = false
	if s.index >= 0 && s.loop.Dying() {
		return // bury ends it
	}
	if s.draining {
		s.drain()
		return
	}
	s.mu.Lock()
	s.sendLocked()
	due := s.isDueLocked()
	writable := s.unblockLocked()
	goesOn := s.phase == open && !s.finWant
	s.mu.Unlock()
	if due {
		s.tellDue()
	}
	if writable && !s.refuses() {
		s.goesOn()
		s.callWritable()
	}
	s.deliver()
	if !goesOn {
		s.progress()
	}
	s.controlReceive()
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
//
// A handler that is nil or incomplete, such as a FrameHandler without Codec, is a programming error: SetHandler panics
// before anything has changed.
func (s *Stream) SetHandler(h Handler) {
	if err := checkHandler(h); err != nil {
		panic("tandem: SetHandler: " + err.Error())
	}
	if s.message != nil {
		s.loop.StopTimer(s.message)
		s.message = nil
	}
	s.handler, s.framer, s.in.wanted = h, nil, 0
	s.changes++
	if s.in.len() > 0 {
		s.redeliver()
	}
}

// LocalAddr returns the address of this end, or nil while there is no connection. From OnOpen on it is not nil.
func (s *Stream) LocalAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local.NetAddr()
}

// RemoteAddr returns the address of the peer, or nil while there is no connection. From OnOpen on it is not nil: of a
// peer that has already gone it is the last one known, or an unspecified one.
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

// Connected implements backend.Events. A stream is attached when it is connected.
func (*streamEvents) Connected(error) {}

// Accepted implements backend.Events. A stream accepts nothing.
func (*streamEvents) Accepted(int, backend.Address, error) {}
