package difftest

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/tandem-io/tandem/session"
)

// do does one operation, on the loop or off it.
func (r *reference) do(a action, loop bool) {
	switch a.Kind {
	case Write, Writev, WriteNotify:
		r.write(a, loop)
	case Echo, Copy:
		r.pass(a)
	case Peek, Next, Discard, Read, Take:
		r.read(a)
	case Flush:
		r.out.push(r.turn...)
		r.turn = nil
		r.t.result(a, 0, nil, closedIf(r.ended()))
	case CloseWrite:
		err := closedIf(r.phase != alive || r.detached)
		if err == nil && !r.fin {
			r.fin = true
			r.queue(item{fin: true}, loop)
		}
		r.t.result(a, 0, nil, err)
	case Close:
		if r.phase == alive && !r.detached {
			r.phase = closing
		}
		r.t.result(a, 0, nil, nil)
	case Abort:
		r.abort(net.ErrClosed)
		r.t.result(a, 0, nil, nil)
	case AbortWith:
		r.abort(errCause)
		r.t.result(a, 0, nil, nil)
	case Panic:
		r.abort(&session.PanicError{})
	case Detach:
		err := closedIf(r.phase != alive || r.detached)
		r.detached = r.detached || err == nil
		r.t.result(a, 0, nil, err)
	default:
		r.manage(a)
	}
}

// manage does the operations that neither read, write nor end.
func (r *reference) manage(a action) {
	open := r.phase == alive && !r.detached
	switch a.Kind {
	case Pause:
		r.paused = r.paused || open
		r.t.result(a, 0, nil, nil)
	case Resume:
		r.fresh = r.fresh || r.paused
		r.paused = false
		r.t.result(a, 0, nil, nil)
	case SetHandler:
		r.generation++
		r.keep, r.fresh = a.keeps(), true
		r.t.result(a, 0, nil, nil)
	case After, Every:
		if !r.ended() {
			r.t.event(timerName(a.id), "ran")
		}
		r.t.result(a, 0, nil, nil)
	case Stopped:
		r.t.result(a, 0, nil, nil)
	case Post:
		err := closedIf(r.ended())
		if err == nil {
			r.t.event(postName(a.id), "ran")
		}
		r.t.result(a, 0, nil, err)
	case Idle:
		r.out.drop(os.ErrDeadlineExceeded)
		_ = r.conn.Close()
		r.over(os.ErrDeadlineExceeded)
		r.t.result(a, 0, nil, nil)
	}
}

// ended reports whether only OnClose is to come.
func (r *reference) ended() bool { return r.phase == over || r.detached }

func closedIf(closed bool) error {
	if closed {
		return net.ErrClosed
	}
	return nil
}

// queue writes when the turn ends, or at once.
func (r *reference) queue(i item, loop bool) {
	r.turn = append(r.turn, i)
	if !loop {
		r.out.push(r.turn...)
		r.turn = nil
	}
}

// admit is the error of a write.
func (r *reference) admit(a action) error {
	switch {
	case r.phase != alive || r.detached || r.fin:
		return net.ErrClosed
	case a.refused:
		return session.ErrWriteBufferFull
	}
	return nil
}

func (r *reference) write(a action, loop bool) {
	err := r.admit(a)
	if err == nil {
		i := item{b: content(a.id, a.n)}
		if a.Kind == WriteNotify {
			i.notify = notifyName(a.id)
		}
		r.queue(i, loop)
	}
	r.t.result(a, 0, nil, err)
}

// take returns n bytes that are unread, or all.
func (r *reference) take(n int) ([]byte, error) {
	if n < 0 || n <= len(r.in) {
		if n < 0 {
			n = len(r.in)
		}
		return r.in[:n:n], nil
	}
	if r.phase == over && len(r.in) == 0 {
		return nil, net.ErrClosed
	}
	return r.in, io.ErrShortBuffer
}

func (r *reference) read(a action) {
	p, err := r.take(a.n)
	switch {
	case a.Kind == Take && err != nil:
		p = nil
	case a.Kind == Read && a.n > 0 && len(p) == 0 && r.phase != over:
		err = session.ErrWouldBlock
		if r.eof {
			err = io.EOF
		}
	case a.Kind == Read && errors.Is(err, io.ErrShortBuffer), a.Kind == Read && a.n < 0:
		err = nil
	}
	if a.Kind != Peek {
		r.in = r.in[len(p):]
	}
	r.note()
	r.t.result(a, len(p), p, err)
}

// pass reads and writes to another stream.
func (r *reference) pass(a action) {
	p, _ := r.take(a.n)
	to := r.others[a.to]
	err := to.admit(a)
	if a.Kind == Copy && len(p) == 0 {
		err = nil
	}
	if err == nil && len(p) > 0 {
		to.queue(item{b: p}, to == r)
	}
	if a.Kind == Echo || err == nil {
		r.in = r.in[len(p):]
	} else {
		p = nil
	}
	r.note()
	r.t.result(a, len(p), p, err)
}

// abort drops what this turn has written, and resets the connection.
func (r *reference) abort(cause error) {
	if r.ended() {
		return
	}
	idle, _ := r.out.idle()
	for _, i := range r.turn {
		idle = idle && len(i.b) == 0 // else bytes are lost
		switch {
		case i.notify != "" && idle:
			r.t.event(i.notify, classify(nil))
		case i.notify != "":
			r.t.event(i.notify, classify(cause))
		}
	}
	r.turn = nil
	r.out.drop(cause)
	if c, ok := r.conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = r.conn.Close()
	r.phase, r.aborted = over, cause
}

// leftover is a reference's Conn after Detach: what was unread comes first.
type leftover struct {
	net.Conn
	r *reference
}

func (l *leftover) Read(p []byte) (int, error) {
	if len(l.r.in) == 0 || l.r.late {
		return l.Conn.Read(p)
	}
	n := copy(p, l.r.in)
	l.r.in = l.r.in[n:]
	return n, nil
}

func (l *leftover) CloseWrite() error {
	l.r.out.push(item{fin: true}) // behind what was queued
	return nil
}

func (l *leftover) Close() error {
	l.r.out.push(item{last: true})
	return nil
}

func (l *leftover) SetReadDeadline(t time.Time) error {
	l.r.late = !t.IsZero()
	return l.Conn.SetReadDeadline(t)
}

// connOp does an operation of a Conn that Detach has returned.
func (t *trace) connOp(c net.Conn, a action) (n int) {
	_ = c.SetDeadline(time.Now().Add(patience))
	var err error
	var sum []byte
	switch a.Kind {
	case ConnWrite:
		n, err = c.Write(content(a.id, a.n))
	case ConnRead:
		p := make([]byte, max(a.n, 1))
		n, err = io.ReadFull(c, p[:a.n])
		if a.n == 0 {
			n, err = c.Read(p)
		}
		sum = p[:n]
	case ConnCloseWrite:
		err = c.(interface{ CloseWrite() error }).CloseWrite()
	case ConnClose:
		err = c.Close()
	case ConnDeadline:
		_ = c.SetReadDeadline(time.Unix(1, 0))
		n, err = c.Read(make([]byte, 1))
		_ = c.SetReadDeadline(time.Time{})
	}
	t.result(a, n, sum, err)
	return n
}
