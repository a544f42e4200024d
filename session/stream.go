package session

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Stream is one connection, TCP or Unix, on one loop of a Transport.
//
// Methods that write, pause, resume and end may be called from any goroutine. Reading methods, SetValue and timers
// belong to the stream's loop: to callbacks of its own, or of another stream of that loop, or to functions run by Post.
// On a closed stream every method returns net.ErrClosed or does nothing.
type Stream struct {
	sock backend.Socket // the loop's and its driver's; a cache line

	// What follows belongs to the loop, and is what every message needs.
	loop    *loop
	opts    *origin
	handler Handler
	rx      rx
	own     *seldom // nil: nothing

	over             bool // the user has been told everything but OnClose, which is being called or was
	adopting         bool // adopt has still to come, with the descriptor
	opened           bool // OnOpen was called
	running          bool // OnOpen has returned: everything else may run
	queuedForTurnEnd bool // on the loop's list for the end of the turn
	listed           bool // on the loop's list of those that MemoryLimit has stopped
	relays           bool // by Relay: the directions do not depend on each other

	mu      sync.Mutex // guards what follows, up to the next comment; and ends
	tx      tx
	life    life
	tls     *tlsLayer     // nil: what is sent and received is plain. Set before anybody knows the stream, or by StartTLS
	posts   chain[func()] // accepted by Post and not run yet
	fd      backend.Descriptor
	posted  bool // a task of this stream is on its way to the loop
	relayed bool // Relay was called

	index int32        // in loop.streams; the loop's
	hint  atomic.Int32 // size of the largest frame that WriteFrame has encoded
	id    uint64       // never changes
	since atomic.Int64 // when OnOpen was called, on the loop's clock; 0: not yet
	value any          // the loop's
	ends  backend.Ends
}

// origin is where a stream comes from, and the limits that it keeps. The streams of a listener share theirs, so it does not
// change; but that of a dial is its stream's alone.
type origin struct {
	StreamOptions
	from *listener // that accepted it, or nil
	dial *dial     // that is not over; the stream's mu guards it
}

// dialledLocked says that the stream's dial is over, if there was one. mu is held.
func (s *Stream) dialledLocked() {
	if s.opts.dial != nil { // otherwise the origin is shared, and nobody writes to it
		s.opts.dial = nil
	}
}

// streamEvents is a Stream as its driver and its loop see it, so that users do not.
type streamEvents Stream

var (
	_ backend.Events    = (*streamEvents)(nil)
	_ backend.FileOwner = (*streamEvents)(nil)
	_ backend.TurnEnder = (*streamEvents)(nil)

	_ backend.ForwardOwner = (*streamEvents)(nil)
	_ backend.Task         = (*streamEvents)(nil)
)

func (s *Stream) events() *streamEvents { return (*streamEvents)(s) }

// newStream makes a stream for a loop that pick has chosen. attach or a dial follows.
func newStream(l *loop, h Handler, o *origin) *Stream {
	return &Stream{loop: l, handler: h, opts: o, id: l.newID(), index: -1}
}

// attach gives the stream its connected descriptor, which it owns from now on, and opens it. remote is the peer's
// address if it is known already.
func (s *Stream) attach(fd backend.Descriptor, remote backend.Address) {
	s.sock.Descriptor, s.sock.Owner = fd, s.events()
	local := s.loop.Sockets.LocalAddress(fd)
	if remote.Kind == backend.NoAddress {
		remote = s.loop.Sockets.RemoteAddress(fd)
	}
	s.setAddresses(local, remote)
	s.expectFiles()
	err := s.loop.Driver.Attach(&s.sock)
	s.mu.Lock()
	s.fd = fd
	wasDialing := s.life.phase == dialing
	if err == nil && wasDialing {
		s.life.move(open)
		if s.tls == nil {
			s.dialledLocked()
		}
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		s.failed(s.opError("open", err))
		if from := s.opts.from; from != nil {
			from.unopened(s.loop, err)
		}
		s.loop.add(s) // so that bury finds it, if a callback ends the goroutine
		s.finish()
		return
	case !wasDialing: // it ended while it was being dialled
		s.loop.add(s)
		s.scheduleTurnEnd()
		return
	}
	s.loop.add(s)
	if s.tls != nil {
		s.tls.begin() // and when that is done, it opens
		return
	}
	s.opens()
}

// opens tells the user that the stream is there.
func (s *Stream) opens() {
	s.opened = true
	s.since.Store(s.loop.lately())
	s.loop.Count[backend.Opened]++
	s.callOpen()
	s.running = true
	s.startIdle()
	s.startTimers()
	s.runPosts()
	s.scheduleTurnEnd()
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
	s.ends = backend.NewEnds(local, remote)
	s.mu.Unlock()
}

// scheduleTurnEnd has OnTurnEnd called at the end of this turn. Loop only.
func (s *Stream) scheduleTurnEnd() {
	if !s.queuedForTurnEnd {
		s.queuedForTurnEnd = true
		s.loop.AtTurnEnd(s.events())
	}
}

// scheduleLocked gets the loop to look after the stream, from any goroutine. mu is held.
func (s *Stream) scheduleLocked(here bool) {
	if here {
		s.scheduleTurnEnd()
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
	p := s.life.phase
	s.mu.Unlock()
	if p == closed {
		return
	}
	s.scheduleTurnEnd()
	if s.running {
		s.runPosts()
	}
}

// OnTurnEnd implements backend.TurnEnder. It is the one place where a stream catches up with what was asked of it:
// sends, answers, delivers, and ends.
func (e *streamEvents) OnTurnEnd() {
	s := (*Stream)(e)
	s.queuedForTurnEnd = false
	if s.index >= 0 && s.loop.Dying() {
		return // bury ends it
	}
	if s.rx.draining {
		s.readRemaining()
		return
	}
	s.mu.Lock()
	s.sendLocked()
	if s.tx.isDue() {
		s.mu.Unlock()
		s.tellDue() // first, because those who are told may write
		s.mu.Lock()
	}
	writable := s.unblockLocked()
	goesOn := s.life.phase == open && !s.tx.finWant
	t := s.tls
	s.mu.Unlock()
	if writable && !s.rx.refuses() {
		s.goesOn()
		s.callWritable()
	}
	s.deliver()
	if s.rx.in != nil {
		s.settle()
	}
	if t != nil {
		t.catchUp()
	}
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
func (s *Stream) Options() StreamOptions { return s.opts.StreamOptions }

// Value returns what SetValue was given last.
func (s *Stream) Value() any { return s.value }

// SetValue keeps anything with the stream. It belongs to the stream's loop; OnOpen is the usual place. Other
// goroutines may call Value if they learned of the stream after that.
func (s *Stream) SetValue(v any) {
	s.onLoopOnly("SetValue")
	s.value = v
}

// SetHandler gives the stream another handler, which gets the callbacks from the next one on. Bytes that wait when the
// present callback ends count as new for it. Loop only.
//
// A handler that is nil or incomplete, such as a FrameHandler without Codec, is a programming error: SetHandler panics
// before anything has changed.
func (s *Stream) SetHandler(h Handler) {
	s.onLoopOnly("SetHandler")
	if err := checkHandler(h); err != nil {
		panic("tandem: SetHandler: " + err.Error())
	}
	s.endMessageTimer()
	s.handler, s.rx.decoder, s.rx.unfinished = h, nil, false
	if s.rx.in != nil {
		s.rx.in.wanted = 0
	}
	s.rx.changes++
	if s.rx.in.len() > 0 {
		s.redeliver()
	}
}

// LocalAddr returns the address of this end, or nil while there is no connection. From OnOpen on it is not nil.
func (s *Stream) LocalAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends.Local().NetAddr()
}

// RemoteAddr returns the address of the peer, or nil while there is no connection. From OnOpen on it is not nil: of a
// peer that has already gone it is the last one known, or an unspecified one.
func (s *Stream) RemoteAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends.Remote().NetAddr()
}

// StreamStats are a stream's figures. Counts are exact at the moment of the call. Times have a monotonic reading, are those of
// the loop's last look at the kernel or of a callback after it, and so may be early by what the turn has taken since. Of what
// another goroutine has sent the time may be early by an eighth of Options.SlowCallback, and is exact if none are looked for.
type StreamStats struct {
	BytesIn     uint64 // received from the kernel; with TLS, encrypted bytes
	BytesQueued uint64 // given to writes, ever; with TLS, encrypted bytes
	BytesSent   uint64 // of these, taken by the kernel

	Opened    time.Time // when OnOpen was called; zero before that
	LastRead  time.Time // when bytes last came; zero if none have
	LastWrite time.Time // when the kernel last took bytes; zero if it has taken none
}

// Stats returns the stream's figures. Any goroutine.
func (s *Stream) Stats() StreamStats {
	s.mu.Lock()
	st, wrote := StreamStats{BytesQueued: s.tx.accepted, BytesSent: s.tx.sent}, s.tx.last
	s.mu.Unlock()
	st.BytesIn = s.rx.received.Load()
	st.Opened, st.LastRead, st.LastWrite = s.loop.timeOf(s.since.Load()), s.loop.timeOf(s.rx.last.Load()), s.loop.timeOf(wrote)
	return st
}

// Connected implements backend.Events. A stream is attached when it is connected.
func (*streamEvents) Connected(error) {}

// Accepted implements backend.Events. A stream accepts nothing.
func (*streamEvents) Accepted(backend.Descriptor, backend.Address, error) {}
