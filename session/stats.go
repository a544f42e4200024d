package session

import (
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Stats are the figures of a Transport: of all its loops together, and of each. Counts are summed, and of times the
// longest is given. Those of streams add up: BytesIn equals BytesDelivered, BytesDropped, TLSOverhead, and what streams hold
// unread; Opened equals Closed and the streams that are open.
type Stats struct {
	LoopStats
	Loops []LoopStats // in the order of their indices
	Conns ConnStats   // connections of ListenConn and DialConn, of which no loop knows
}

// ConnStats are the figures of connections that are no streams, but net.Conns. Opened equals Closed and Open. Those that
// wait for Accept are not among them, nor are their bytes among those of streams; that they were accepted is in Accepts.
type ConnStats struct {
	Open     int    // now
	Opened   uint64 // that Accept or DialConn has made
	Closed   uint64 // among these, by Close or by Shutdown
	BytesIn  uint64 // received from the kernel, by Read and by transfers
	BytesOut uint64 // taken by the kernel, from Write and from transfers
}

// LoopStats are the figures of one loop: counts since the Transport was opened, and how things stand now.
type LoopStats struct {
	Streams      int    // connected now
	Parked       int    // accepted connections that wait for room below their listener's MaxConns, or for ResumeAccept
	Opened       uint64 // streams whose OnOpen ran
	Closed       uint64 // streams among these whose OnClose ran
	Accepts      uint64 // connections accepted
	AcceptErrors uint64 // accepts that failed

	BytesIn        uint64 // received from the kernel
	BytesDelivered uint64 // bytes among these that handlers read
	BytesDropped   uint64 // bytes among these that were unread when their stream ended
	TLSOverhead    uint64 // bytes among these that were no user's: handshakes, and what encryption adds
	BytesCopied    uint64 // bytes among these that were copied: left unread, received in a pause, or taken in small pieces
	BytesOut       uint64 // taken by the kernel
	Reads          uint64 // receives that brought bytes
	Writes         uint64 // sends of which the kernel took bytes
	DirectWrites   uint64 // sends among these that ran on the writer's goroutine

	Turns       uint64 // turns of the loop
	Polls       uint64 // polls of the kernel for events
	Sleeps      uint64 // polls among these that were allowed to block
	SystemCalls uint64 // for sockets and polls
	Submissions uint64 // io_uring: requests handed to the kernel (SQEs)
	Completions uint64 // io_uring: completions (CQEs)
	NoBuffers   uint64 // io_uring: receives that found no buffer (ENOBUFS)
	Overflows   uint64 // io_uring: times that the completion queue overflowed
	WakeUps     uint64 // times that another goroutine woke a loop
	Timers      uint64 // timers that fired
	Panics      uint64 // panics caught in callbacks

	// SlowCallbacks is how many callbacks were found to run for longer than Options.SlowCallback.
	SlowCallbacks uint64

	TLSHandshakes      uint64 // TLS handshakes that were done
	TLSHandshakeErrors uint64 // TLS handshakes that failed

	// LongestTurn is how long the loop's longest turn took, without its sleep. All other streams waited for so long.
	LongestTurn time.Duration

	// LongestCallback is how long the longest callback for data took, including the receive before it.
	// LongestCallbackStream is the ID of its stream.
	LongestCallback       time.Duration
	LongestCallbackStream uint64

	// PostLag is how long work that other goroutines and callbacks have given to the loop, by Post and other methods, waited
	// until it ran. One in 64 is measured.
	PostLag backend.Lags

	// What the loop had handed out when it last went to sleep, or ended, or some turns ago if it is busy: sockets to the
	// kernel, listeners included; io_uring requests in flight on them; receive buffers to users, by Take. Where the kernel
	// may still send out of a buffer when a loop has lost its ring, the buffer stays taken for good.
	Sockets, Requests, BuffersTaken int

	// Starved is how many sockets were waiting for receive buffers then. io_uring only.
	Starved int
}

// Stats returns the figures as of the end of each loop's last turn, in all and for each loop. Any goroutine.
func (e *Engine) Stats() Stats {
	var s Stats
	for _, l := range e.loops {
		one := loopStats(l)
		s.Loops = append(s.Loops, one)
		s.add(&one)
	}
	s.Conns = e.conns.stats()
	return s
}

// shown pairs each count of a loop with where it is shown.
var shown = [...]struct {
	counter backend.Counter
	field   func(*LoopStats) *uint64
}{
	{backend.Opened, func(s *LoopStats) *uint64 { return &s.Opened }},
	{backend.Closed, func(s *LoopStats) *uint64 { return &s.Closed }},
	{backend.Accepts, func(s *LoopStats) *uint64 { return &s.Accepts }},
	{backend.AcceptErrors, func(s *LoopStats) *uint64 { return &s.AcceptErrors }},
	{backend.BytesIn, func(s *LoopStats) *uint64 { return &s.BytesIn }},
	{backend.BytesDelivered, func(s *LoopStats) *uint64 { return &s.BytesDelivered }},
	{backend.BytesDropped, func(s *LoopStats) *uint64 { return &s.BytesDropped }},
	{backend.BytesCopied, func(s *LoopStats) *uint64 { return &s.BytesCopied }},
	{backend.BytesOut, func(s *LoopStats) *uint64 { return &s.BytesOut }},
	{backend.Reads, func(s *LoopStats) *uint64 { return &s.Reads }},
	{backend.Writes, func(s *LoopStats) *uint64 { return &s.Writes }},
	{backend.DirectWrites, func(s *LoopStats) *uint64 { return &s.DirectWrites }},
	{backend.Turns, func(s *LoopStats) *uint64 { return &s.Turns }},
	{backend.Polls, func(s *LoopStats) *uint64 { return &s.Polls }},
	{backend.Sleeps, func(s *LoopStats) *uint64 { return &s.Sleeps }},
	{backend.SystemCalls, func(s *LoopStats) *uint64 { return &s.SystemCalls }},
	{backend.Submissions, func(s *LoopStats) *uint64 { return &s.Submissions }},
	{backend.Completions, func(s *LoopStats) *uint64 { return &s.Completions }},
	{backend.NoBuffers, func(s *LoopStats) *uint64 { return &s.NoBuffers }},
	{backend.Overflows, func(s *LoopStats) *uint64 { return &s.Overflows }},
	{backend.WakeUps, func(s *LoopStats) *uint64 { return &s.WakeUps }},
	{backend.TimersFired, func(s *LoopStats) *uint64 { return &s.Timers }},
	{backend.Panics, func(s *LoopStats) *uint64 { return &s.Panics }},
	{backend.SlowCallbacks, func(s *LoopStats) *uint64 { return &s.SlowCallbacks }},
	{backend.TLSOverhead, func(s *LoopStats) *uint64 { return &s.TLSOverhead }},
	{backend.TLSHandshakes, func(s *LoopStats) *uint64 { return &s.TLSHandshakes }},
	{backend.TLSHandshakeErrors, func(s *LoopStats) *uint64 { return &s.TLSHandshakeErrors }},
}

func loopStats(l *loop) LoopStats {
	var s LoopStats
	for _, c := range shown {
		*c.field(&s) = l.Total(c.counter)
	}
	s.Streams, s.Parked = l.Streams(), l.Parked()
	s.LongestTurn = l.LongestTurn()
	s.LongestCallback, s.LongestCallbackStream = l.LongestCallback()
	s.PostLag = l.PostLags()
	o := l.Outstanding()
	s.Sockets, s.Requests, s.BuffersTaken, s.Starved = o.Sockets, o.Requests, o.Buffers, o.Starved
	return s
}

// add sums another loop's figures up.
func (s *LoopStats) add(o *LoopStats) {
	for _, c := range shown {
		*c.field(s) += *c.field(o)
	}
	s.Streams += o.Streams
	s.Parked += o.Parked
	s.LongestTurn = max(s.LongestTurn, o.LongestTurn)
	if o.LongestCallback > s.LongestCallback {
		s.LongestCallback, s.LongestCallbackStream = o.LongestCallback, o.LongestCallbackStream
	}
	s.PostLag = s.PostLag.Plus(o.PostLag)
	s.Sockets += o.Sockets
	s.Requests += o.Requests
	s.BuffersTaken += o.BuffersTaken
	s.Starved += o.Starved
}
