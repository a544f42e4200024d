package session

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Bits of rx.flow: why bytes are not delivered now. They are read by the loop for each event, without a lock.
const (
	flowPaused   uint32 = 1 << iota // by PauseRead
	flowBlocked                     // the queue went above HighWater and has not fallen under LowWater
	flowShut                        // Close or Abort was called, or the stream has ended: what comes is dropped
	flowDetached                    // Detach was called: what comes is kept for the Conn
	flowResumed                     // ResumeRead was called after a pause: bytes that were seen count as new
)

// turnLimit is how much time the callbacks for one stream's data may take in a turn before others have their share.
const turnLimit = int64(time.Millisecond)

// rx is the receive side of a stream: what has come and was not read, and whether more may come. It has no lock. It
// belongs to the loop, but for flow, by which other goroutines stop it, and what any goroutine may load.
type rx struct {
	flow atomic.Uint32 // any goroutine

	unfinished     bool // a FrameHandler goes on in the next turn, before anything else is delivered
	redeliver      bool // OnData is to be called for bytes of in although it has seen them
	receiving      bool // the driver was told to receive
	full           bool // set at ReadBufferLimit, cleared below half of it
	tight          bool // stopped by the Transport's MemoryLimit
	pausedWithData bool // bytes came during a pause: no more of them
	eof            bool // the peer has finished; OnEOF may still have to be called
	eofTold        bool // OnEOF was called
	done           bool // ReceiveEnded was reported
	draining       bool // failed and released: what the kernel still has is delivered, turn by turn
	drained        bool // and the kernel has no more

	turnReads uint8 // deliveries in the turn of the last one, at most readsPerTurn

	// What follows is the loop's.
	in *inbox // nil: nothing is unread

	turn      uint32 // of the last delivery, for the budget; and of what follows, and turnReads
	turnBytes uint32 // at most as many as fit
	turnTime  uint32 // nanoseconds that callbacks for data took in that turn, at most as many as fit
	changes   int32  // calls of SetHandler
	read      uint64 // bytes that were read, ever
	decoder   finalDecoder

	// What follows the loop stores, and any goroutine may load.
	received atomic.Uint64 // bytes that came from the kernel, ever
	last     atomic.Int64  // when they last did, on the loop's clock; 0: never
}

// wanted is how many bytes are waited for in one piece; 0: none.
func (r *rx) wanted() int {
	if r.in == nil {
		return 0
	}
	return r.in.wanted
}

// refuses reports whether bytes are not wanted any longer: the user has ended the stream.
func (r *rx) refuses() bool { return r.flow.Load()&flowShut != 0 }

// waiting reports whether OnData has to be called: bytes wait that count as new, or work for the last ones.
func (r *rx) waiting() bool {
	return r.in.len() > 0 && (r.in.unseen > 0 || r.resumed()) || r.unfinished
}

// resumed reports whether the next OnData is called for bytes that it has seen, too, and is the one that they wait for.
func (r *rx) resumed() bool { return r.redeliver || r.flow.Load()&flowResumed != 0 }

// beginTurn gives the stream a new share if the turn is a new one.
func (r *rx) beginTurn(turn uint64) {
	if r.turn != uint32(turn) {
		r.turn, r.turnReads, r.turnBytes, r.turnTime = uint32(turn), 0, 0, 0
	}
}

// spend takes n bytes of the stream's share of the turn.
func (r *rx) spend(n int) { r.turnBytes += uint32(min(uint64(n), uint64(^r.turnBytes))) }

// spendTime takes so many nanoseconds of it.
func (r *rx) spendTime(d int64) { r.turnTime += uint32(min(max(d, 0), int64(^r.turnTime))) }

// hasShare reports whether the present turn has something left for the stream.
func (r *rx) hasShare(budget int) bool {
	return r.turnReads < readsPerTurn && int64(r.turnBytes) < int64(budget) && int64(r.turnTime) < turnLimit
}

// Received implements backend.Events: p is lent until it returns.
func (e *streamEvents) Received(p []byte) {
	s := (*Stream)(e)
	s.loop.Count[backend.BytesIn] += uint64(len(p))
	s.loop.Count[backend.Reads]++
	s.came(len(p))
	if s.loop.gatherSize >= gatherLimit {
		s.loop.flushGathered()
	}
	if s.tls != nil {
		s.tls.received(p)
		s.controlReceive()
		return
	}
	s.arrive(p)
	if s.rx.in != nil || s.rx.flow.Load() != 0 {
		s.controlReceive()
	}
}

// arrive brings bytes for the user: to OnData now, or to the inbox for later. p is lent until it returns. Received has
// them from the driver; a transform of the stream's bytes, such as TLS, belongs between the two.
func (s *Stream) arrive(p []byte) {
	if !s.rx.in.keeps() && !s.rx.resumed() && s.deliverable() {
		s.rx.spend(len(p))
		s.inbox().lend(p)
		s.callData()
		s.settle()
	} else if !s.rx.refuses() {
		in := s.inbox()
		in.push(p)
		in.unseen += len(p)
		s.rx.pausedWithData = s.rx.flow.Load()&flowPaused != 0
		s.deliver()
		if s.rx.unseen() > 0 {
			s.scheduleTurnEnd()
		}
	} else {
		s.discard(len(p))
	}
}

// discard counts n bytes that came when nobody wanted them any longer.
func (s *Stream) discard(n int) {
	s.needs().discarded += uint64(n)
	s.loop.Count[backend.BytesDropped] += uint64(n)
}

// unseen is how many bytes are unread that OnData has not been called for.
func (r *rx) unseen() int {
	if r.in == nil {
		return 0
	}
	return r.in.unseen
}

// inbox is the stream's inbox, for something to be put there.
func (s *Stream) inbox() *inbox {
	if s.rx.in == nil {
		s.rx.in = s.loop.takeInbox()
	}
	return s.rx.in
}

// settle gives memory back that is not needed any longer, and the inbox with it if nothing is in use there. Not during a
// callback of the stream.
func (s *Stream) settle() {
	in := s.rx.in
	if in == nil {
		return
	}
	in.tidy()
	if in.isIdle() {
		in.unseen = 0
		s.rx.in = nil
		s.loop.inboxes.push(in)
	}
}

// stops are the bits of flow for which nothing may be delivered now.
func (s *Stream) stops() uint32 {
	stops := s.rx.flow.Load() &^ flowResumed
	if stops&flowBlocked != 0 && (s.readsWhileBlocked() || s.rx.draining) {
		stops &^= flowBlocked
	}
	return stops
}

// deliverable reports whether OnData may be called now, for what has come or is waiting.
func (s *Stream) deliverable() bool {
	if s.stops() != 0 || !s.running {
		return false
	}
	s.rx.beginTurn(s.loop.Turn())
	return s.rx.hasShare(s.opts.TurnBudget)
}

// HasTurnBudget implements backend.Events: it reports false if a delivery has to wait for the next turn, and only then.
func (e *streamEvents) HasTurnBudget() bool {
	s := (*Stream)(e)
	return s.deliverable() || s.stops() != 0 || !s.running
}

// redeliver has OnData called for the bytes that wait, although it has seen them, as soon as it may be. Loop only.
func (s *Stream) redeliver() {
	s.rx.redeliver = true
	s.scheduleTurnEnd()
}

// deliver calls OnData for bytes that wait and count as new, and OnEOF behind the last of them.
func (s *Stream) deliver() {
	resumed := s.rx.resumed()
	if s.rx.unseen() == 0 && !resumed && !s.rx.eof {
		return
	}
	if in := s.rx.in; in != nil && in.len() == 0 {
		in.unseen = 0
	}
	if s.deliverable() {
		if resumed {
			if s.rx.flow.And(^flowResumed)&flowResumed != 0 {
				s.goesOn()
			}
			s.rx.pausedWithData, s.rx.redeliver = false, false
		}
		if s.rx.unseen() > 0 || resumed && s.rx.in.len() > 0 || s.rx.unfinished {
			in := s.inbox()
			s.rx.spend(in.unseen)
			in.unseen = 0
			s.callData()
			s.settle()
		}
	} else if s.rx.waiting() && s.stops() == 0 {
		s.scheduleTurnEnd() // its share of this turn is used up
	}
	s.deliverEnd()
}

// goesOn follows that the stream reads on after a pause, or when its queue has emptied.
func (s *Stream) goesOn() {
	if s.rx.decoder != nil {
		s.rx.decoder.goesOn()
	}
}

// deliverEnd calls OnEOF, if the peer has finished and everything was delivered.
func (s *Stream) deliverEnd() {
	due := func() bool {
		return s.rx.eof && !s.rx.eofTold && !s.rx.waiting() && s.rx.flow.Load()&(flowPaused|flowShut|flowDetached) == 0 && !s.rx.draining
	}
	if due() && s.rx.decoder != nil {
		s.callFinal()
		s.settle()
	}
	if !due() {
		return
	}
	s.rx.eofTold = true
	s.callEOF()
	if s.opts.AllowHalfClose || !s.closeUnlessRelayed() {
		s.halfClosed()
	}
}

// ReceiveEnded implements backend.Events.
func (e *streamEvents) ReceiveEnded(err error) {
	s := (*Stream)(e)
	s.rx.receiving = false
	s.rx.done = true
	if err != io.EOF {
		s.broken("read", err)
		return
	}
	s.mu.Lock()
	failed := s.life.phase >= ending
	s.mu.Unlock()
	if failed {
		return // the error was taken by a send of another goroutine; what looks like an end is what it left
	}
	if s.tls != nil {
		s.tls.receiveEnded()
		return
	}
	s.rx.eof = true
	s.deliver()
	s.scheduleTurnEnd()
}

// HungUp implements backend.Events: nothing is being received, and the connection has an error or a hang-up. A stream
// that was paused by its user learns of it now; one that stopped by itself finds out when it goes on, behind the bytes
// that are waiting.
func (e *streamEvents) HungUp() {
	s := (*Stream)(e)
	if s.rx.flow.Load()&(flowPaused|flowShut) == 0 && !s.rx.done {
		return
	}
	if err := s.loop.Sockets.TakeError(s.sock.Descriptor); err != nil {
		s.broken("read", err)
	}
}

// controlReceive switches receiving on and off as the stream's state wants it.
func (s *Stream) controlReceive() {
	s.account()
	unread := s.rx.in.len()
	if s.tls != nil && s.tls.in.len() > largestRecord { // a part of a record never keeps it from coming
		unread += s.tls.in.len()
	}
	switch {
	case unread >= max(s.opts.ReadBufferLimit, s.rx.wanted()):
		s.rx.full = true
		s.watchStuck()
	case unread < max((s.opts.ReadBufferLimit+1)/2, s.rx.wanted()):
		s.rx.full = false
	}
	on := !s.rx.done && (s.running && !s.rx.full && !s.rx.tight && !s.holdsFiles() && s.wants() || s.tls != nil && s.tls.wants())
	if on == s.rx.receiving {
		return
	}
	s.mu.Lock()
	p, staged := s.life.phase, s.life.staged
	s.mu.Unlock()
	if p == open || p == closing && (staged || !on || s.tls != nil && s.tls.finishes()) {
		s.rx.receiving = on
		s.loop.Driver.Receive(&s.sock, on)
	}
}

// wants reports whether the stream's flow lets it receive. In the last stage of its end it receives what it drops.
func (s *Stream) wants() bool {
	flow := s.rx.flow.Load()
	switch {
	case flow&flowShut != 0:
		c := s.seldom().closer
		return c != nil && c.lasts != 0
	case flow&flowDetached != 0, s.rx.pausedWithData && flow&flowPaused != 0:
		return false
	}
	return flow&flowBlocked == 0 || s.readsWhileBlocked()
}

// readsWhileBlocked reports whether the stream reads while its queue is above HighWater.
func (s *Stream) readsWhileBlocked() bool { return s.opts.ReadWhileBlocked || s.relays }

// readRemaining delivers what the kernel still has of a connection that failed, bytes that came before the failure: within the
// turn's budget, in as many turns as that takes. Then the stream ends. The descriptor is the stream's alone.
func (s *Stream) readRemaining() {
	if !s.running { // nobody reads a stream whose TLS handshake was not done
		s.finish()
		return
	}
	s.deliver()
	if s.tls != nil {
		s.tls.catchUp()
	}
	for !s.rx.drained && s.deliverable() && s.rx.in.len() < s.opts.ReadBufferLimit {
		s.receiveRest()
	}
	waiting := s.rx.waiting() || s.tls != nil && s.tls.hasRecord()
	switch {
	case s.rx.refuses(), s.stops() != 0, s.rx.drained && !waiting, s.rx.in.len() >= s.opts.ReadBufferLimit && !waiting:
		for !s.rx.drained && !s.rx.refuses() && s.rx.in.len() < s.opts.ReadBufferLimit {
			s.receiveRest() // for OnClose, which may read it
		}
		if s.tls != nil {
			s.tls.decryptRest()
		}
		s.finish()
	default:
		s.scheduleTurnEnd()
	}
}

// dropUnread drops what was received and nobody will read.
func (s *Stream) dropUnread() {
	s.loop.Count[backend.BytesDropped] += uint64(s.rx.in.len())
	if s.rx.in != nil {
		s.rx.in.drop()
		s.settle()
	}
	if s.tls != nil {
		s.tls.dropIn()
	}
}

// tryReceive receives, without the driver, into p.
func (s *Stream) tryReceive(p []byte) (int, error) {
	if !s.sock.Files {
		return s.loop.Sockets.TryReceive(s.sock.Descriptor, p)
	}
	n, files, err := s.loop.Sockets.TryReceiveFiles(s.sock.Descriptor, p, s.events().RoomForFiles())
	s.events().ReceivedFiles(files)
	return n, err
}

// receiveRest takes a piece of what the kernel still has.
func (s *Stream) receiveRest() {
	scratch := s.loop.scratch()
	n, err := s.tryReceive(scratch)
	if n <= 0 || err != nil {
		s.rx.drained = true
		return
	}
	s.events().Received(scratch[:n:n])
	backend.Poison(scratch[:n])
}
