//go:build linux

package uring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/session"
)

// greeter is the Handler of streams that have been accepted: the first byte says whose they are.
type greeter world

func (g *greeter) OnOpen(*session.Stream) {}
func (g *greeter) OnData(s *session.Stream) {
	b, err := s.Peek(1)
	if err != nil {
		return
	}
	a := g.actors[int(b[0])]
	_, _ = s.Discard(1)
	s.SetHandler(a)
	a.OnOpen(s)
	a.OnData(s)
}
func (g *greeter) OnEOF(*session.Stream)      { (*world)(g).fail("a stream ended before its first byte") }
func (g *greeter) OnWritable(*session.Stream) {}
func (g *greeter) OnClose(_ *session.Stream, err error) {
	(*world)(g).fail("a stream was closed before its first byte: %v", err)
}

// actor is the Handler of one stream. Its methods run on the stream's loop, but for those of the peer.
type actor struct {
	plan
	i     int
	world *world
	rand  *rand.Rand

	got, sent int
	finished  bool // everything has been sent, and FIN
	eof       bool
	ending    bool // closed, aborted or detached by itself
	took      []*taken
	paused    chan struct{} // closed when the stream is paused for good
	sawEnd    chan struct{} // closed when it has seen the peer's FIN
	timer     bool
	notified  atomic.Int64 // WriteNotify whose function has not been called

	closed, peerRead, peerWrote, detached chan struct{}
}

// taken is memory that the stream has handed over.
type taken struct {
	b  *session.Buffer
	at int // of the bytes received
}

func newActor(w *world, i int, p plan) *actor {
	a := &actor{
		plan: p, i: i, world: w, rand: p.rand(1), paused: make(chan struct{}), sawEnd: make(chan struct{}),
		closed: make(chan struct{}), peerRead: make(chan struct{}), peerWrote: make(chan struct{}), detached: make(chan struct{}),
	}
	if p.end != detaches {
		close(a.detached)
	}
	return a
}

func (a *actor) String() string {
	return fmt.Sprintf("stream %d (%v; %d in, %d out so far)", a.i, a.plan, a.got, a.sent)
}

func (a *actor) fail(format string, args ...any) {
	a.world.fail("%v: %s", a, fmt.Sprintf(format, args...))
}

func (a *actor) in() []byte  { return bytesOf(a.i, 0, a.receive) }
func (a *actor) out() []byte { return bytesOf(a.i, 1, a.send) }

// OnOpen implements session.Handler.
func (a *actor) OnOpen(s *session.Stream) {
	if a.end == pausedReset {
		s.PauseRead()
		close(a.paused)
		return
	}
	a.later(s)
}

// OnData implements session.Handler.
func (a *actor) OnData(s *session.Stream) {
	a.read(s)
	a.act(s)
}

// OnWritable implements session.Handler.
func (a *actor) OnWritable(s *session.Stream) { a.act(s) }

// OnEOF implements session.Handler.
func (a *actor) OnEOF(s *session.Stream) {
	if a.eof = true; a.got+s.Buffered() != a.receive && a.end != isReset {
		a.fail("the end comes after %d bytes", a.got+s.Buffered())
	}
	if a.end == lateReset {
		close(a.sawEnd)
	}
	a.later(s)
}

// later goes on in a while, whatever happens.
func (a *actor) later(s *session.Stream) {
	if !a.timer && !a.ending {
		a.timer = true
		s.After(time.Duration(a.rand.IntN(500))*time.Microsecond, func() {
			a.timer = false
			s.ResumeRead()
			a.read(s)
			a.act(s)
		})
	}
}

// act does something else than to read.
func (a *actor) act(s *session.Stream) {
	if a.ending || a.end == pausedReset {
		return
	}
	a.write(s)
	half := a.got >= a.receive/2 && a.sent >= a.send/2
	switch {
	case a.end == aborts && half:
		a.ending = true
		_ = s.Abort()
	case a.end == detaches && half && !a.finished:
		a.detach(s)
	case a.end == closes && a.got == a.receive && a.sent == a.send:
		a.ending = true
		_ = s.Close()
	case a.finished && a.eof && a.got == a.receive, a.eof && a.end == isReset: // which only closes a Unix socket
		a.ending = true
		_ = s.Close()
	default:
		if a.rand.IntN(8) == 0 {
			s.PauseRead() // until later
		}
		a.later(s)
	}
}

// read takes some of the bytes that there are, in one of several ways.
func (a *actor) read(s *session.Stream) {
	for !a.ending && s.Buffered() > 0 && a.rand.IntN(5) > 0 {
		n := 1 + a.rand.IntN(s.Buffered())
		switch a.rand.IntN(4) {
		case 0:
			p, _ := s.Next(n)
			a.received(p)
		case 1:
			p := make([]byte, n)
			n, _ = s.Read(p)
			a.received(p[:n])
		case 2:
			a.take(s, n)
		case 3:
			p, _ := s.Next(s.Buffered())
			a.received(p)
		}
	}
}

// received checks bytes of the stream, which come next.
func (a *actor) received(p []byte) {
	if a.got+len(p) > a.receive {
		a.fail("%d bytes too many", a.got+len(p)-a.receive)
		return
	}
	if want := a.in()[a.got : a.got+len(p)]; !bytes.Equal(want, p) {
		a.fail("bytes %d to %d are wrong: % x, not % x", a.got, a.got+len(p), p[:min(len(p), 8)], want[:min(len(p), 8)])
	}
	a.got += len(p)
}

// take keeps memory for a while.
func (a *actor) take(s *session.Stream, n int) {
	b, err := s.Take(n)
	if err != nil {
		a.fail("take %d: %v", n, err)
		return
	}
	t := &taken{b, a.got}
	a.received(b.Bytes())
	if a.took = append(a.took, t); len(a.took) > 5 || a.rand.IntN(2) == 0 {
		t, a.took = a.took[0], a.took[1:]
		if a.rand.IntN(2) == 0 {
			a.release(t)
		} else {
			time.AfterFunc(time.Duration(a.rand.IntN(2000))*time.Microsecond, func() { a.release(t) })
		}
	}
}

// release checks that memory has not changed, and gives it back. Any goroutine.
func (a *actor) release(t *taken) {
	if p := t.b.Bytes(); !bytes.Equal(p, a.in()[t.at:t.at+len(p)]) {
		a.world.fail("stream %d (%v): memory that was taken at %d has changed: % x", a.i, a.plan, t.at, p[:min(len(p), 8)])
	}
	t.b.Release()
}

// write sends some of what is to be sent.
func (a *actor) write(s *session.Stream) {
	for a.sent < a.send && a.rand.IntN(4) > 0 {
		n := min(1+a.rand.IntN(20_000), a.send-a.sent)
		p := a.out()[a.sent : a.sent+n]
		var err error
		switch a.rand.IntN(3) {
		case 0:
			_, err = s.Write(p)
		case 1:
			_, err = s.Writev(net.Buffers{p[:n/2], p[n/2:]})
		case 2:
			a.notified.Add(1)
			if err = s.WriteNotify(p, func(error) { a.notified.Add(-1) }); err != nil {
				a.notified.Add(-1)
			}
		}
		if err != nil {
			if a.end != isReset && a.end != lateReset {
				a.fail("write: %v", err)
			}
			return
		}
		a.sent += n
	}
	if a.sent == a.send && !a.finished && a.end == inOrder {
		a.finished = true
		_ = s.CloseWrite()
	}
}

// OnClose implements session.Handler.
func (a *actor) OnClose(s *session.Stream, err error) {
	if !a.ending || a.end != detaches {
		p, _ := s.Next(-1)
		a.received(p)
	}
	for _, t := range a.took {
		a.release(t)
	}
	if n := a.notified.Load(); n != 0 {
		a.fail("%d notifications are outstanding", n)
	}
	ok := err == nil
	switch a.end {
	case aborts:
		ok = errors.Is(err, net.ErrClosed)
	case isReset, pausedReset, lateReset:
		ok = err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	}
	if !ok {
		a.fail("OnClose(%v)", err)
	}
	close(a.closed)
}

// detach goes on with the connection of package net.
func (a *actor) detach(s *session.Stream) {
	a.ending = true
	c, err := s.Detach()
	if err != nil {
		a.fail("detach: %v", err)
		close(a.detached)
		return
	}
	at, sent := a.got, a.sent
	go func() {
		defer close(a.detached)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(a.out()[sent:]); err != nil {
			a.world.fail("stream %d (%v): write to the detached connection: %v", a.i, a.plan, err)
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		rest, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(rest, a.in()[at:]) {
			a.world.fail("stream %d (%v): the detached connection read %d of %d bytes: %v", a.i, a.plan, len(rest), a.receive-at, err)
		}
	}()
}

// peer is the other end, on goroutines of its own.
func (a *actor) peer(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	go a.peerReads(c)
	go a.peerWrites(c)
}

func (a *actor) peerReads(c net.Conn) {
	defer close(a.peerRead)
	got, err := io.ReadAll(c)
	if len(got) > a.send || !bytes.Equal(got, a.out()[:len(got)]) {
		a.world.fail("stream %d (%v): the peer got wrong bytes", a.i, a.plan)
	}
	switch a.end {
	case inOrder, closes, detaches:
		if err != nil || len(got) != a.send {
			a.world.fail("stream %d (%v): the peer got %d of %d bytes: %v", a.i, a.plan, len(got), a.send, err)
		}
	}
	if a.end == closes || a.end == aborts {
		_ = c.Close()
	}
}

func (a *actor) peerWrites(c net.Conn) {
	defer close(a.peerWrote)
	r := a.plan.rand(2)
	if a.i%4 != 3 {
		_, _ = c.Write([]byte{byte(a.i)})
	}
	all := a.in()
	if a.end == pausedReset {
		<-a.paused
	}
	if a.end == isReset || a.end == pausedReset {
		all = all[:len(all)/2]
	}
	for len(all) > 0 {
		n := min(1+r.IntN(10_000), len(all))
		if _, err := c.Write(all[:n]); err != nil {
			if a.end != aborts {
				a.world.fail("stream %d (%v): the peer's write: %v", a.i, a.plan, err)
			}
			return
		}
		all = all[n:]
		if r.IntN(3) == 0 {
			time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
		}
	}
	a.peerEnds(c, r)
}

func (a *actor) peerEnds(c net.Conn, r *rand.Rand) {
	a.world.gate(a)
	switch a.end {
	case isReset, pausedReset, lateReset:
		if a.end == lateReset {
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			if !endsBefore(a.sawEnd, time.Now().Add(patience)) {
				a.world.fail("stream %d (%v) has not seen the end", a.i, a.plan)
			}
		}
		if r.IntN(2) == 0 {
			time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
		}
		if l, ok := c.(*net.TCPConn); ok {
			_ = l.SetLinger(0)
		}
		_ = c.Close()
	case inOrder, detaches:
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		<-a.peerRead
		_ = c.Close()
	}
}
