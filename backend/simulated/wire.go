package simulated

import (
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// end is one end of a connection, in the kernel.
//
//	send ──► out ── transfer, after a segment's time on its way ──► in of the other ──► receive
//
// A FIN comes behind the last byte of out. A reset overtakes out and leaves in alone: what has arrived can be received,
// then the error, once, and then an end.
type end struct {
	k             *Kernel
	other         *end
	local, remote backend.Address
	unix          bool

	in, out  []byte
	fin      bool  // behind the last byte of out
	finSent  bool  // and it is on its way or there
	finCame  bool  // behind the last byte of in
	err      error // told once
	dead     bool  // reset, by one side or the other
	gone     bool  // no descriptor is left
	moving   bool  // a transfer is on its way
	stalled  bool  // what out holds stays there
	received int   // bytes that have arrived, ever
	peer     *Peer // whose end it is; nil: a descriptor's
}

// pair makes a connection.
func (k *Kernel) pair(a, b backend.Address) (*end, *end) {
	unix := a.Kind == backend.UnixAddress
	one := &end{k: k, local: a, remote: b, unix: unix}
	two := &end{k: k, local: b, remote: a, unix: unix}
	one.other, two.other = two, one
	return one, two
}

// selfConnected is the one end of a connection to itself, which is what comes of a connect to its own address. RFC 9293,
// 3.5: a simultaneous open.
func (k *Kernel) selfConnected(a backend.Address) *end {
	e := &end{k: k, local: a, remote: a}
	e.other = e
	return e
}

// room is how many bytes out takes.
func (e *end) room() int { return max(e.k.cfg.SendBuffer-len(e.out), 0) }

// send takes bytes, or returns syscall.EAGAIN.
func (e *end) send(p []byte) (int, error) {
	switch {
	case e.err != nil:
		return 0, e.takeError()
	case e.dead || e.fin:
		return 0, syscall.EPIPE
	case e.unix && e.other.gone:
		return 0, syscall.EPIPE
	case len(p) == 0:
		return 0, nil
	}
	n := min(len(p), e.room())
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	n = e.k.part(n, e.k.cfg.Faults.ShortWrite)
	e.out = append(e.out, p[:n]...)
	e.move()
	return n, nil
}

// receive copies bytes, or returns 0 at the end, or syscall.EAGAIN.
func (e *end) receive(p []byte) (int, error) {
	switch {
	case len(e.in) > 0:
		n := copy(p, e.in[:e.k.part(len(e.in), e.k.cfg.Faults.ShortRead)])
		if e.in = e.in[n:]; len(e.in) == 0 {
			e.in = nil
		}
		e.other.move() // there is room
		return n, nil
	case e.err != nil:
		return 0, e.takeError()
	case e.finCame || e.dead:
		return 0, nil
	}
	return 0, syscall.EAGAIN
}

func (e *end) takeError() error {
	err := e.err
	e.err = nil
	return err
}

// finish sends FIN behind out.
func (e *end) finish() error {
	if e.dead {
		return syscall.ENOTCONN
	}
	if !e.fin {
		e.fin = true
		e.move()
	}
	return nil
}

// close follows that no descriptor is left. The kernel goes on sending what is in out.
func (e *end) close(reset bool) {
	if e.gone {
		return
	}
	e.gone = true
	switch {
	case e.dead:
	case reset && !e.unix, len(e.in) > 0:
		e.reset()
	default:
		e.fin = true
		e.move()
		e.other.move() // what had no room here is answered with a reset
	}
	e.in = nil
}

// reset drops what is on its way, and tells the other end.
func (e *end) reset() {
	e.dead, e.out = true, nil
	other := e.other
	if e.unix {
		other.failWith(syscall.ECONNRESET)
		return
	}
	e.k.later(func() { other.failWith(syscall.ECONNRESET) })
}

// failWith ends a connection because of what the network says.
func (e *end) failWith(err error) {
	if e.dead {
		return
	}
	e.k.note("fail", e.received, len(e.in))
	e.dead, e.out = true, nil
	if !e.gone {
		e.err = err
	}
	e.notify()
}

// move has what is in out arrive later.
func (e *end) move() {
	if e.moving || e.dead || e.stalled || len(e.out) == 0 && (!e.fin || e.finSent) {
		return
	}
	if len(e.out) > 0 && !e.other.gone && len(e.other.in) >= e.k.cfg.ReceiveBuffer {
		return // until there is room
	}
	e.moving = true
	if e.unix {
		e.k.after(0, e.transfer)
		return
	}
	e.k.later(e.transfer)
}

// transfer has bytes arrive, or the FIN behind the last of them.
func (e *end) transfer() {
	e.moving = false
	other := e.other
	switch {
	case e.dead || e.stalled:
		return
	case e.k.chance(e.k.cfg.Faults.Reset) && !e.unix:
		e.failWith(syscall.ECONNRESET)
		other.failWith(syscall.ECONNRESET)
		return
	case len(e.out) > 0 && other.gone: // nobody receives: the answer is a reset
		e.out = nil
		if e.unix {
			return // the next send fails
		}
		e.k.later(func() { e.failWith(syscall.ECONNRESET) })
		return
	}
	if n := min(len(e.out), e.k.cfg.ReceiveBuffer-len(other.in)); n > 0 {
		n = e.k.part(n, e.k.cfg.Faults.ShortRead)
		other.in = append(other.in, e.out[:n]...)
		other.received += n
		if e.out = e.out[n:]; len(e.out) == 0 {
			e.out = nil
		}
		e.k.note("arrive", other.received, n)
	}
	if len(e.out) == 0 && e.fin && !e.finSent {
		if e.k.chance(e.k.cfg.Faults.ShortRead) { // FIN in a segment of its own
			e.k.later(func() { e.arriveFIN() })
		} else {
			e.arriveFIN()
		}
		e.finSent = true
	}
	other.notify()
	e.notify() // there is room
	e.move()
}

func (e *end) arriveFIN() {
	if !e.dead {
		e.k.note("fin", e.other.received, 0)
		e.other.finCame = true
		e.other.notify()
	}
}

// notify tells whoever has the end that something has changed.
func (e *end) notify() {
	e.k.changed.Broadcast()
	if e.peer != nil {
		e.peer.pump()
	}
}

// stall keeps what is sent from arriving, or lets it go on.
func (e *end) stall(on bool) {
	e.stalled = on
	e.move()
}

// ready is what poll(2) would say.
type ready uint8

const (
	readyIn    ready = 1 << iota // a receive or an accept would not say EAGAIN
	readyOut                     // nor would a send
	readyError                   // there is an error to be told
	readyHup                     // both directions are over
	readyFIN                     // the other has finished
)

func (e *end) ready() ready {
	var r ready
	if len(e.in) > 0 || e.finCame || e.err != nil || e.dead {
		r |= readyIn
	}
	if 3*e.room() >= e.k.cfg.SendBuffer || e.err != nil || e.dead || e.unix && e.other.gone {
		r |= readyOut
	}
	if e.err != nil {
		r |= readyError
	}
	if e.dead || e.finCame && e.fin {
		r |= readyHup
	}
	if e.finCame || e.dead {
		r |= readyFIN
	}
	return r
}

// connectTimeout is how long a connect waits for an answer, as tcp(7) has it by default, about.
const connectTimeout = 130 * time.Second
