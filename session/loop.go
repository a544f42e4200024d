package session

import (
	"net"
	"runtime/trace"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// loop is a backend.Loop with the streams that live on it. Unless a comment says otherwise, fields and methods belong
// to its goroutine.
type loop struct {
	*backend.Loop
	engine *Engine
	index  int
	debug  bool // any goroutine
	traced bool

	ids  atomic.Uint64 // any goroutine
	live atomic.Int64  // connected streams; any goroutine
	load atomic.Int64  // streams that pick has put here and that have not ended; any goroutine

	listening listenSocketSet // listening sockets; any goroutine
	parked    atomic.Int64    // connections that they have accepted and not opened; any goroutine

	streams  []*Stream
	dialing  map[*dial]struct{} // that have not been decided, or have attempts left
	refs     int                // streams, listeners and dials that have not ended
	draining bool               // the engine shuts down: nothing new begins
	aborting bool               // and waits for nobody any longer
	emptied  chan struct{}      // closed when draining and the last holder has ended

	gatherTurn uint64    // the turn of what follows
	gatherSize int       // bytes that were written in callbacks and wait for the end of the turn
	gatherFrom []*Stream // their streams

	dead    atomic.Bool   // it has failed: nothing new may be put here
	current atomic.Uint64 // the call that was entered last; any goroutine may look
	entered call          // the same
	stamped uint64        // Polls for which the time in at was taken, and 1
	looked  uint64        // Polls after which the clock was read, and 1
	skew    int64         // what its clock is in front of that of the first loop; any goroutine
	at      int64         // when the present callback began, or the last one ended; on the loop's clock
	wall    time.Time     // what the time was
	walled  int64         // on the loop's clock, when wall was read; 0: never
	longest atomic.Int64  // nanoseconds of the longest callback for data
	slowest atomic.Uint64 // and its stream

	unopened logLimit // of connections that were accepted and could not be attached

	tight     []*Stream   // stopped by the Transport's MemoryLimit
	relieving atomic.Bool // a task that looks at them again is on its way

	regions []*trace.Region // of callbacks that run, each in the one before; only if traced

	timers     *Timer // list of active timers of the loop itself
	timersOver bool   // none of them runs any longer

	lent []*Stream // whose unread bytes a callback has; only if poisoning is on

	vec   [][]byte // scratch for one send
	read  []byte   // scratch for draining a failed connection
	plain []byte   // scratch for what TLS decrypts

	queues  spares[queue] // of streams that have nothing queued
	inboxes spares[inbox] // of streams that have nothing unread

	tlsSlots tlsSlots
}

func newLoop(e *Engine, index int, c backend.LoopConfig) *loop {
	l := &loop{
		engine: e, index: index, debug: e.debug, traced: e.trace, dialing: map[*dial]struct{}{},
		emptied: make(chan struct{}), vec: make([][]byte, 0, backend.MaxVector),
	}
	c.Culprit, c.Died, c.Call = l.culprit, l.bury, l.callGiven
	if e.watch != nil {
		c.Roused = e.watch.begin
	}
	l.Loop = backend.NewLoop(c)
	l.tlsSlots = tlsSlots{loop: l, limit: e.handshakes}
	if index > 0 {
		l.skew = int64(e.loops[0].TimeOf(1).Sub(l.TimeOf(1)))
	}
	return l
}

// newID returns a number that is unique in the engine. Any goroutine.
func (l *loop) newID() uint64 {
	return (l.ids.Add(1)-1)*uint64(len(l.engine.loops)) + uint64(l.index) + 1
}

func (l *loop) scratch() []byte {
	if l.read == nil {
		l.read = make([]byte, 64<<10)
	}
	return l.read
}

func (l *loop) plainScratch() []byte {
	if l.plain == nil {
		l.plain = make([]byte, tlsScratch)
	}
	return l.plain
}

// lend notes that bytes of s are lent until the present callback returns. Only if poisoning is on.
func (l *loop) lend(s *Stream) {
	if n := len(l.lent); n == 0 || l.lent[n-1] != s {
		l.lent = append(l.lent, s)
	}
}

// endLoans notes that a callback has returned, and with it the loans that it was given.
func (l *loop) endLoans() {
	l.ends()
	if len(l.lent) > 0 {
		l.renewLent()
	}
}

func (l *loop) renewLent() {
	for _, s := range l.lent {
		s.rx.in.renew()
	}
	clear(l.lent)
	l.lent = l.lent[:0]
}

// add and remove keep the list of connected streams.
func (l *loop) add(s *Stream) {
	s.index = int32(len(l.streams))
	l.streams = append(l.streams, s)
	l.live.Add(1)
}

func (l *loop) remove(s *Stream) {
	if s.index < 0 {
		return
	}
	last := len(l.streams) - 1
	l.streams[s.index] = l.streams[last]
	l.streams[s.index].index = s.index
	l.streams[last] = nil
	l.streams = l.streams[:last]
	s.index = -1
	l.live.Add(-1)
}

// retain and release count what has to end before the loop can.
func (l *loop) retain() { l.refs++ }

func (l *loop) release() {
	l.refs--
	l.checkEmpty()
}

func (l *loop) checkEmpty() {
	if !l.draining || l.refs > 0 {
		return
	}
	select {
	case <-l.emptied:
	default:
		close(l.emptied)
	}
}

// gathered accounts for n bytes that s has queued in a callback.
func (l *loop) gathered(s *Stream, n int) {
	if turn := l.Turn(); l.gatherTurn != turn {
		l.gatherTurn = turn
		l.forgetGathered()
	}
	l.gatherSize += n
	if s.tx.out.len() == n {
		l.gatherFrom = append(l.gatherFrom, s)
	}
}

func (l *loop) forgetGathered() {
	clear(l.gatherFrom)
	l.gatherFrom, l.gatherSize = l.gatherFrom[:0], 0
}

// flushGathered sends what the streams of the loop have gathered when it is 64 KiB: memory that goes out while it is
// in the cache, and is there for the next to be written, costs less than waiting for the end of the turn saves.
func (l *loop) flushGathered() {
	for _, s := range l.gatherFrom {
		s.mu.Lock()
		s.flushLocked()
		s.mu.Unlock()
	}
	l.forgetGathered()
}

// begin runs start on the loop, as something that has to end before the loop does. It returns net.ErrClosed once the
// engine shuts down. Any goroutine.
func (l *loop) begin(start func()) error {
	if l.engine.down.Load() {
		return net.ErrClosed
	}
	return l.Post(backend.TaskFunc(func() {
		l.retain()
		start()
	}))
}

// open makes a stream of a connection that a listener accepted. Where nothing
// begins any longer it is reset, as the kernel does with its backlog.
func (l *loop) open(c connection, from *listener) {
	if l.draining || l.Ending() {
		l.Sockets.CloseSocket(c.fd, backend.Closing{Reset: true})
		l.unpick()
		from.ended(c.source)
		return
	}
	s := newStream(l, from.handler, from.opts)
	if c.source != nil {
		s.needs().source = c.source
	}
	if from.tls != nil {
		s.tls = newTLS(s, from.tls, true)
	}
	l.retain()
	s.attach(c.fd, c.from)
}

// each calls fn for all streams. fn may end them.
func (l *loop) each(fn func(*Stream)) {
	for _, s := range append([]*Stream(nil), l.streams...) {
		fn(s)
	}
}

// stamp takes the time at which a callback for data begins: the end of the one before, if both are of one look.
func (l *loop) stamp() {
	if look := l.Polls() + 1; l.stamped != look {
		l.stamped, l.looked, l.at = look, look, l.Tick()
	}
}

// lately returns a time after the last look at the kernel, the latest that is known. It reads the clock once for each look,
// if nobody else has.
func (l *loop) lately() int64 {
	if look := l.Polls() + 1; l.looked != look {
		l.looked = look
		return l.Tick()
	}
	return max(l.at, l.LastTick())
}

// wallEvery is how long the time of day is computed from an earlier one, in nanoseconds, before it is read anew: it may have been
// set.
const wallEvery = int64(250 * time.Millisecond)

// Lately returns the time of day to a turn of the stream's loop: that of the last look at the kernel, or a later one. It reads the
// clock once for each look, if nobody else has, so that it costs little to ask for every message. Loop only.
func Lately(s *Stream) time.Time {
	l := s.loop
	now := l.lately()
	if l.walled == 0 || now-l.walled >= wallEvery {
		l.wall, l.walled = l.Time.Now(), now
	}
	return l.wall.Add(time.Duration(now - l.walled))
}

// roughly returns the time on the loop's clock, and reads none while somebody looks for slow callbacks: then it may be early, by
// the time between two looks. Any goroutine.
func (l *loop) roughly() int64 {
	if w := l.engine.watch; w != nil {
		if looked := w.coarse.Load(); looked != 0 {
			return looked + l.skew
		}
	}
	return l.Clock()
}

// timeOf is the time that a reading of the loop's clock means; of 0 it is the zero time. Any goroutine.
func (l *loop) timeOf(clock int64) time.Time {
	if clock == 0 {
		return time.Time{}
	}
	return l.TimeOf(clock)
}

// sinceStamp returns how long the present callback for data has run, in nanoseconds.
func (l *loop) sinceStamp() int64 { return l.Clock() - l.at }

// lap returns how long the callback for data of s has taken, in nanoseconds.
func (l *loop) lap(s *Stream) int64 {
	now := l.Clock()
	took := now - l.at
	l.at = now
	if took > l.longest.Load() {
		l.longest.Store(took)
		l.slowest.Store(s.id)
	}
	return took
}

// Parked is how many connections of listeners on the loop wait for room. Any goroutine.
func (l *loop) Parked() int { return int(l.parked.Load()) }

// Streams is how many streams of the loop are connected now. Any goroutine.
func (l *loop) Streams() int { return int(l.live.Load()) }

// LongestCallback is how long the longest callback for data took, and the ID of its stream. Any goroutine.
func (l *loop) LongestCallback() (took time.Duration, stream uint64) {
	return time.Duration(l.longest.Load()), l.slowest.Load()
}
