package simulated

import (
	"slices"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// The kernel's half of a driver that makes requests. mu is held in all of it but request and cancel.

// operation is what a request asks for.
type operation uint8

const (
	anyOp operation = iota // for cancel
	opReceive
	opAccept
	opConnect
	opSend
	opRoom   // tells when there is room to send
	opWatch  // tells an error or a hang-up
	opCancel // of a completion: a cancellation that has found nothing
)

// request is what is in flight. It keeps the open socket, not the number of its descriptor.
type request struct {
	k        *Kernel
	op       operation
	id       backend.ID
	file     *file
	number   int
	bufs     [][]byte
	told     uint32        // of opWatch: what the owner knows already
	left     int           // bytes, or connections, that it may still bring
	canceled bool          // it ends with ECANCELED, unless something comes first
	held     time.Duration // it does not go on before
	delayed  bool
}

// completion is one result of a request.
type completion struct {
	op     operation
	id     backend.ID
	n      int
	err    error
	buf    []byte
	fd     backend.Descriptor
	from   backend.Address
	events ready
	more   bool // the request goes on
}

// cancellation is on its way.
type cancellation struct {
	id backend.ID
	op operation
}

// request makes a request for a socket.
func (d *completions) request(s *backend.Socket, op operation) *request {
	defer d.locked()()
	s.InFlight++
	d.count[backend.Submissions]++
	r := &request{k: d.k, op: op, id: s.ID, file: d.k.file(s.Descriptor), number: s.FD(), left: multishotLimit}
	if s.Bounded {
		r.left = 1
	}
	r.file.refs++
	d.requests = append(d.requests, r)
	return r
}

// cancel asks for the end of a socket's requests, of one operation or of all.
func (d *completions) cancel(id backend.ID, op operation) {
	defer d.locked()()
	d.cancels = append(d.cancels, cancellation{id, op})
}

// able reports whether the request could go on now.
func (r *request) able() bool {
	return r.k.now >= r.held && (r.canceled || r.possible())
}

// possible reports whether there is something for it.
func (r *request) possible() bool {
	ready := r.file.ready()
	switch r.op {
	case opReceive, opAccept:
		return ready&readyIn != 0
	case opConnect:
		return r.file.dialing.done
	case opSend, opRoom:
		return ready&(readyOut|readyError|readyHup) != 0
	case opWatch:
		return r.events() != 0
	}
	return false
}

// events is what a watch tells.
func (r *request) events() ready {
	told := backend.Socket{State: r.told}
	return untold(&told, r.file.ready())
}

// fill moves completions that have overflowed to the queue.
func (d *completions) fill() {
	for len(d.overflow) > 0 && len(d.queue) < queueRoom {
		d.queue = append(d.queue, d.overflow[0])
		d.overflow = d.overflow[1:]
	}
}

// post gives the driver a completion, and reports whether there was room in the queue.
func (d *completions) post(c completion) bool {
	d.k.note("complete", int(c.id), int(c.op))
	d.count[backend.Completions]++
	if len(d.queue) < queueRoom && len(d.overflow) == 0 && !d.k.chance(d.k.cfg.Faults.Overflow) {
		d.queue = append(d.queue, c)
		return true
	}
	d.count[backend.Overflows]++
	d.overflow = append(d.overflow, c)
	return false
}

// progress lets requests go on, in any order, and cancellations act.
func (d *completions) progress() {
	d.act()
	var able []*request
	for _, r := range d.requests {
		if r.able() {
			able = append(able, r)
		}
	}
	if able == nil {
		return
	}
	d.k.random.Shuffle(len(able), func(i, j int) { able[i], able[j] = able[j], able[i] })
	for _, r := range able {
		if r.able() && !d.delay(r) {
			d.goOn(r)
		}
	}
	d.requests = slices.DeleteFunc(d.requests, func(r *request) bool { return r.file == nil })
}

// delay reports whether a request that could go on does so later.
func (d *completions) delay(r *request) bool {
	if r.delayed || !d.k.chance(d.k.cfg.Faults.Delay) {
		r.delayed = false
		return false
	}
	r.delayed = true
	r.held = d.k.now + d.k.latency()
	d.k.after(r.held-d.k.now, d.k.changed.Broadcast)
	return true
}

// act lets the cancellations do their work.
func (d *completions) act() {
	all := d.cancels
	d.cancels = nil
	for _, c := range all {
		if d.k.chance(d.k.cfg.Faults.Missed) {
			d.post(completion{op: opCancel, id: c.id})
			continue
		}
		for _, r := range d.requests {
			if r.id == c.id && (c.op == anyOp || r.op == c.op) {
				r.canceled = true
			}
		}
	}
}

// goOn carries a request out, as far as it goes now.
func (d *completions) goOn(r *request) {
	if r.canceled && (!r.possible() || d.k.chance(0.7)) {
		d.end(r, completion{err: syscall.ECANCELED})
		return
	}
	switch r.op {
	case opReceive:
		d.goOnReceiving(r)
	case opAccept:
		d.goOnAccepting(r)
	case opSend:
		d.goOnSending(r)
	case opWatch:
		d.end(r, completion{events: r.events()})
	default:
		d.end(r, completion{})
	}
}

// end posts the last completion of a request.
func (d *completions) end(r *request, c completion) {
	c.op, c.id = r.op, r.id
	d.post(c)
	d.k.unref(r.file, false)
	r.file = nil
}

// bring posts a completion of a request that goes on, unless there was no room for it: then that was the last one.
func (d *completions) bring(r *request, c completion, goesOn bool) bool {
	goesOn = goesOn && !r.canceled && !d.k.chance(d.k.cfg.Faults.Ended)
	full := len(d.queue) >= queueRoom || len(d.overflow) > 0 || d.k.chance(d.k.cfg.Faults.Overflow)
	if !goesOn || full {
		d.end(r, c)
		return false
	}
	c.op, c.id, c.more = r.op, r.id, true
	d.queue = append(d.queue, c)
	d.count[backend.Completions]++
	d.k.note("bring", int(c.id), c.n)
	return true
}

// goOnReceiving takes what there is, buffer by buffer.
func (d *completions) goOnReceiving(r *request) {
	for {
		if len(d.buffers) == 0 || d.k.chance(d.k.cfg.Faults.NoBuffer) {
			d.end(r, completion{err: syscall.ENOBUFS})
			return
		}
		buf := d.buffers[len(d.buffers)-1]
		n, err := r.file.end.receive(buf)
		switch {
		case err == syscall.EAGAIN:
			return
		case n == 0 || err != nil:
			d.end(r, completion{err: err})
			return
		}
		d.buffers = d.buffers[:len(d.buffers)-1]
		r.left -= n
		if !d.bring(r, completion{n: n, buf: buf}, r.left > 0) {
			return
		}
	}
}

func (d *completions) goOnAccepting(r *request) {
	for {
		fd, from, err := d.k.accept(r.file.listens)
		if err == syscall.EAGAIN {
			return
		}
		if err != nil {
			d.end(r, completion{err: err})
			return
		}
		r.left--
		if !d.bring(r, completion{fd: fd, from: from}, r.left > 0) {
			return
		}
	}
}

// goOnSending reads the bytes now. A send behind a peer that has finished may end with EAGAIN.
func (d *completions) goOnSending(r *request) {
	n, err := sendTo(r.file.end, r.number, r.bufs)
	if err == syscall.EAGAIN && r.file.ready()&readyFIN == 0 && !d.k.chance(d.k.cfg.Faults.Again) {
		return // it waits for room
	}
	d.end(r, completion{n: n, err: err})
}
