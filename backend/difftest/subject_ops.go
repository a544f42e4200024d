package difftest

import (
	"net"
	"time"

	"github.com/tandem-io/tandem/session"
)

// tick is what timers and idle timeouts are short multiples of.
const tick = time.Millisecond

// do does one operation. loop says that it runs on the stream's loop.
func (x *subject) do(a action, loop bool) {
	s := x.stream()
	switch a.Kind {
	case Write:
		_, err := s.Write(content(a.id, a.n))
		x.t.result(a, 0, nil, err)
	case Writev:
		p := content(a.id, a.n)
		_, err := s.Writev(net.Buffers{p[:a.n/3], nil, p[a.n/3 : a.n/2], p[a.n/2:]})
		x.t.result(a, 0, nil, err)
	case WriteNotify:
		name := notifyName(a.id)
		err := s.WriteNotify(content(a.id, a.n), func(err error) { x.t.event(name, classify(err)) })
		x.promise(name, loop, err)
		x.t.result(a, 0, nil, err)
	case Echo, Copy:
		x.pass(s, a)
	case Peek, Next, Discard, Read, Take:
		x.reads(s, a)
	case Flush:
		x.t.result(a, 0, nil, s.Flush())
	case CloseWrite:
		x.t.result(a, 0, nil, s.CloseWrite())
	case Close:
		x.t.result(a, 0, nil, s.Close())
	case Abort:
		x.t.result(a, 0, nil, s.Abort())
	case AbortWith:
		x.t.result(a, 0, nil, s.AbortWith(errCause))
	case Detach:
		c, err := s.Detach()
		if err == nil {
			x.mu.Lock()
			x.conn = c
			x.mu.Unlock()
		}
		x.t.result(a, 0, nil, err)
	case Panic:
		panic("difftest: on purpose")
	default:
		x.manage(s, a, loop)
	}
}

// promise notes that a function has to run before OnClose.
func (x *subject) promise(name string, loop bool, err error) {
	if err == nil && loop { // else OnClose may be running
		x.promised[name] = true
	}
}

// manage does the operations that neither read, write nor end.
func (x *subject) manage(s *session.Stream, a action, loop bool) {
	if a.Kind != SetHandler && a.Kind != Post {
		defer x.t.result(a, 0, nil, nil)
	}
	ran := func() { x.t.event(timerName(a.id), "ran") }
	switch a.Kind {
	case Pause:
		s.PauseRead()
	case Resume:
		s.ResumeRead()
	case SetHandler:
		x.handler = &handler{x: x, generation: x.handler.generation + 1, keep: a.keeps()}
		s.SetHandler(x.handler)
		x.t.result(a, 0, nil, nil)
	case After:
		s.After(time.Duration(a.Arg%3)*tick, ran)
	case Stopped:
		s.After(time.Hour, func() { x.t.fault("a timer that was stopped has run") }).Stop()
	case Every:
		left := 2
		started := make(chan *session.Timer, 1)
		started <- s.Every(tick, func() {
			if left--; left == 0 {
				(<-started).Stop()
				ran()
			}
		})
	case Post:
		name := postName(a.id)
		err := s.Post(func() { x.t.event(name, "ran") })
		x.promise(name, loop, err)
		x.t.result(a, 0, nil, err)
	case Idle:
		if a.Arg&1 == 0 {
			s.SetIdleTimeout(5 * tick)
		} else {
			s.SetReadIdleTimeout(5 * tick)
		}
	}
}

func (x *subject) reads(s *session.Stream, a action) {
	var p []byte
	var n int
	var err error
	switch a.Kind {
	case Peek:
		p, err = s.Peek(a.n)
		n = len(p)
	case Next:
		p, err = s.Next(a.n)
		n = len(p)
	case Discard:
		p, _ = s.Peek(a.n)
		n, err = s.Discard(a.n)
	case Read:
		p = make([]byte, s.Buffered())
		if a.n >= 0 {
			p = make([]byte, a.n)
		}
		n, err = s.Read(p)
		p = p[:n]
	case Take:
		var b *session.Buffer
		if b, err = s.Take(a.n); err == nil {
			p = b.Bytes()
			n = len(p)
			x.mu.Lock()
			x.taken = append(x.taken, taken{b, string(p)})
			x.mu.Unlock()
		}
	}
	if a.Kind != Peek {
		x.read += n
	}
	x.note()
	x.t.result(a, n, p, err)
}

// pass reads and writes to another stream.
func (x *subject) pass(s *session.Stream, a action) {
	to := x.others[a.to].stream()
	if a.Kind == Copy {
		p, _ := s.Peek(-1)
		n, err := s.WriteTo(to)
		x.read += int(n)
		x.note()
		x.t.result(a, int(n), p[:n], err)
		return
	}
	b, err := s.Take(a.n)
	if err != nil {
		x.t.fault("Take %d of %d bytes: %v", a.n, s.Buffered(), err)
		return
	}
	p := append([]byte(nil), b.Bytes()...)
	if err = to.WriteBuffer(b); err != nil {
		b.Release()
	}
	x.read += len(p)
	x.note()
	x.t.result(a, len(p), p, err)
}
