package simulated

import (
	"io"
	"slices"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Further bits of Socket.State: which requests are in flight, and what the driver has to remember.
const (
	receiveArmed uint32 = firstOfKind << iota
	acceptArmed
	watchArmed
	cancelling   // the receive or the accept
	missed       // a cancellation has found nothing: try again
	awaitsBuffer // the last receive found none
	stream       // it is no listener
	releasing
)

const (
	completionsBuffer = 2 << 10
	bufferCount       = 16
	queueRoom         = 16       // completions that fit the queue
	multishotLimit    = 64 << 10 // bytes of one request
)

// completions is the driver that makes requests.
//
//	update, Send, Connect ──► requests ── progress: the kernel lets some go on ──► queue ──► look ──► Owner
//	        cancel ─────────►                                      overflow ──► (ends what would go on)
type completions struct {
	*driver
	batch    []completion // what look reports; batch[:at] was begun
	at       int
	deferred []completion // of streams that had their share of the turn; in order
	loan     *loan        // what Received has

	// The kernel's mu guards what follows.
	requests []*request
	cancels  []cancellation
	queue    []completion
	overflow []completion
	buffers  [][]byte // that are free
	kept     int
}

// loan is a buffer during one call of Received.
type loan struct {
	buf  []byte
	kept bool
}

func newCompletions(base *driver) *completions {
	d := &completions{driver: base}
	for range bufferCount {
		d.buffers = append(d.buffers, make([]byte, completionsBuffer))
	}
	base.engine = d
	base.Setup("simulated", 0, d.update)
	return d
}

// Receive implements backend.Driver.
func (d *completions) Receive(s *backend.Socket, on bool) {
	d.point()
	s.State |= stream
	d.SetInterest(s, wantReceive, on)
	s.State &^= hupTold | errorTold
}

// Accept implements backend.Driver.
func (d *completions) Accept(s *backend.Socket, on bool) {
	d.point()
	d.SetInterest(s, wantAccept, on)
}

// Connect implements backend.Driver.
func (d *completions) Connect(s *backend.Socket) {
	d.point()
	s.State |= wantConnect
	d.request(s, opConnect)
}

// Send implements backend.Driver.
func (d *completions) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	s.State |= stream
	r := d.request(s, opSend)
	r.bufs = append(r.bufs, bufs...)
	return 0, backend.ErrPending
}

// Release implements backend.Driver.
func (d *completions) Release(s *backend.Socket) {
	d.point()
	s.State |= releasing
	if s.InFlight == 0 {
		d.detach(s)
		return
	}
	d.cancel(s.ID, anyOp)
}

// update makes the requests of a socket agree with what its owner wants.
func (d *completions) update(s *backend.Socket) {
	if s.State&missed != 0 {
		s.State &^= missed | cancelling
		if s.State&releasing != 0 {
			d.cancel(s.ID, anyOp)
		}
	}
	if s.State&releasing != 0 {
		return
	}
	d.updateArmed(s, wantAccept, acceptArmed, opAccept)
	d.updateArmed(s, wantReceive, receiveArmed, opReceive)
	if s.State&(stream|wantReceive|watchArmed) == stream && s.State&(hupTold|errorTold) != hupTold|errorTold {
		s.State |= watchArmed
		d.request(s, opWatch).told = s.State & (hupTold | errorTold)
	}
}

func (d *completions) updateArmed(s *backend.Socket, want, armed uint32, op operation) {
	switch {
	case s.State&(want|armed|awaitsBuffer) == want:
		s.State |= armed
		d.request(s, op)
	case s.State&(want|armed|cancelling) == armed:
		s.State |= cancelling
		d.cancel(s.ID, op)
	}
}

// look implements engine. What it has not reported when a callback ends it is the next look's, or Close's.
func (d *completions) look() int {
	d.k.mu.Lock()
	d.k.runDue()
	d.fill()
	d.progress()
	d.batch = slices.Concat(d.deferred, d.batch[d.at:], d.queue)
	d.at, d.queue, d.deferred = 0, nil, nil
	d.fill()
	starving := len(d.buffers) > 0
	d.k.mu.Unlock()
	waiting := map[backend.ID]bool{}
	for d.at < len(d.batch) {
		c := d.batch[d.at]
		d.at++
		d.complete(c, waiting)
	}
	n := len(d.batch)
	d.batch, d.at = nil, 0
	if starving {
		d.All(func(s *backend.Socket) {
			if s.State&awaitsBuffer != 0 {
				s.State &^= awaitsBuffer
				d.Changed(s)
			}
		})
	}
	return n
}

// due implements engine.
func (d *completions) due() bool {
	if len(d.batch)-d.at+len(d.queue)+len(d.overflow)+len(d.deferred)+len(d.cancels) > 0 {
		return true
	}
	for _, r := range d.requests {
		if r.able() {
			return true
		}
	}
	starving := false
	d.All(func(s *backend.Socket) { starving = starving || s.State&awaitsBuffer != 0 })
	return starving && len(d.buffers) > 0
}

// complete handles one completion, or defers it: to the next turn, if its stream has had its share of this one.
func (d *completions) complete(c completion, waiting map[backend.ID]bool) {
	if c.op == opCancel {
		d.cancelFailed(c.id)
		return
	}
	s := d.Lookup(c.id)
	if s != nil && c.op == opReceive && (waiting[c.id] || c.n > 0 && s.State&releasing == 0 && !s.Owner.HasTurnBudget()) {
		waiting[c.id] = true
		d.deferred = append(d.deferred, c)
		return
	}
	if s == nil {
		d.stale(c)
		return
	}
	if !c.more {
		s.InFlight--
	}
	d.dispatch(s, c)
	if s.State&releasing != 0 && s.InFlight == 0 && d.Lookup(c.id) == s {
		d.detach(s)
	}
}

// stale gives back what a completion brings whose socket has left.
func (d *completions) stale(c completion) {
	if c.buf != nil {
		d.giveBack(c.buf)
	}
	if c.fd.Valid() {
		d.CloseSocket(c.fd, backend.Closing{})
	}
}

func (d *completions) dispatch(s *backend.Socket, c completion) {
	switch c.op {
	case opReceive:
		d.received(s, c)
	case opAccept:
		d.accepted(s, c)
	case opConnect:
		d.connectEnded(s, c)
	case opSend:
		d.sent(s, c)
	case opRoom:
		if s.State&releasing == 0 {
			s.Owner.Sent(0, nil)
		}
	case opWatch:
		s.State &^= watchArmed
		if s.State&(releasing|wantReceive) == 0 && c.err == nil {
			tellHangUp(s, c.events)
		}
		d.again(s)
	}
}

// again looks at what the socket needs now, unless it is being released.
func (d *completions) again(s *backend.Socket) {
	if s.State&releasing == 0 && d.Lookup(s.ID) == s {
		d.Changed(s)
	}
}

func (d *completions) received(s *backend.Socket, c completion) {
	if !c.more {
		s.State &^= receiveArmed | cancelling
	}
	if c.n > 0 {
		mine := &loan{buf: c.buf}
		before := d.loan
		d.loan = mine
		s.Owner.Received(c.buf[:c.n:c.n])
		d.loan = before
		if !mine.kept {
			d.giveBack(c.buf)
		}
	}
	switch {
	case c.more:
		return
	case s.State&releasing != 0:
		if isFailure(c.err) {
			s.Owner.ReceiveEnded(c.err)
		}
		return
	case c.err == syscall.ENOBUFS:
		d.count[backend.NoBuffers]++
		s.State |= awaitsBuffer
	case isFailure(c.err):
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(c.err)
	case c.n == 0 && c.err == nil:
		d.SetInterest(s, wantReceive, false)
		s.Owner.ReceiveEnded(io.EOF)
	}
	d.again(s)
}

// isFailure reports whether an error is the connection's.
func isFailure(err error) bool {
	switch err {
	case nil, syscall.ECANCELED, syscall.EAGAIN, syscall.ENOBUFS:
		return false
	}
	return true
}

func (d *completions) accepted(s *backend.Socket, c completion) {
	if !c.more {
		s.State &^= acceptArmed | cancelling
	}
	switch {
	case c.fd.Valid():
		s.Owner.Accepted(c.fd, c.from, nil)
	case s.State&releasing != 0:
		return
	case c.err != syscall.ECANCELED && c.err != syscall.EAGAIN && c.err != nil:
		d.SetInterest(s, wantAccept, false)
		s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, c.err)
	}
	if !c.more && s.State&releasing == 0 {
		d.again(s)
	}
}

func (d *completions) connectEnded(s *backend.Socket, c completion) {
	if s.State&releasing != 0 {
		return
	}
	over, err := d.connectResult(s)
	if !over {
		d.request(s, opConnect)
		return
	}
	s.State &^= wantConnect
	s.Owner.Connected(err)
}

func (d *completions) sent(s *backend.Socket, c completion) {
	switch {
	case s.State&releasing != 0:
		if c.n > 0 || isFailure(c.err) {
			s.Owner.Sent(c.n, c.err)
		}
	case c.err == syscall.EAGAIN:
		d.request(s, opRoom)
	default:
		s.Owner.Sent(c.n, c.err)
	}
}

// cancelFailed tries again if what was to be cancelled is still in flight.
func (d *completions) cancelFailed(id backend.ID) {
	if s := d.Lookup(id); s != nil && s.InFlight > 0 && s.State&(cancelling|releasing) != 0 {
		s.State |= missed
		d.Changed(s)
	}
}

// Keep implements backend.Driver.
func (d *completions) Keep() func() {
	defer d.locked()()
	mine := d.loan
	if mine == nil || mine.kept || d.kept >= bufferCount/2 {
		return nil
	}
	mine.kept = true
	d.kept++
	return func() {
		d.giveBack(mine.buf)
		defer d.locked()()
		if d.kept--; d.kept < 0 {
			panic("simulated: a buffer is given back twice")
		}
		d.woken = true
		d.k.changed.Broadcast()
	}
}

func (d *completions) giveBack(buf []byte) {
	poison(buf)
	defer d.locked()()
	d.buffers = append(d.buffers, buf)
	if len(d.buffers) > bufferCount {
		panic("simulated: a buffer is given back twice")
	}
}

// Features implements backend.Driver.
func (d *completions) Features() []string { return []string{"completions"} }

// Outstanding implements backend.Driver.
func (d *completions) Outstanding() backend.Outstanding {
	d.point()
	defer d.locked()()
	return backend.Outstanding{Sockets: d.Unreleased(), Requests: len(d.requests), Buffers: d.kept}
}

// Close implements backend.Driver. What is in flight ends without an event.
func (d *completions) Close() error {
	d.k.mu.Lock()
	for _, r := range d.requests {
		d.k.unref(r.file, false)
	}
	all := slices.Concat(d.deferred, d.batch[d.at:], d.queue, d.overflow)
	d.requests, d.cancels, d.batch, d.at, d.deferred, d.queue, d.overflow = nil, nil, nil, 0, nil, nil, nil
	d.k.mu.Unlock()
	for _, c := range all {
		d.stale(c)
	}
	return d.driver.Close()
}
