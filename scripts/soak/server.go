//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session"
)

// mode is what the server does with a connection. The client's header says it.
type mode uint8

const (
	// The server sends back what it gets.
	modeEcho      mode = iota // Next, and Write
	modeWriteTo               // WriteTo the stream itself
	modeTake                  // Take, and WriteBuffer
	modeNotify                // WriteNotify
	modePart                  // in parts, and the rest by Post
	modeTimer                 // by a timer, paused meanwhile
	modeElsewhere             // from another goroutine, paused meanwhile
	modeDetach                // as a net.Conn from the cut on, and as a Stream again
	modeRelay                 // by another connection of the same loop
	modeFrames                // messages

	// It does something else.
	modePush   // sends by itself
	modeIdle   // has an idle timeout
	modeAbort  // aborts at the cut
	modePanic  // panics at the cut
	modeGoexit // ends its loop, if the life allows it; echoes else

	modes
)

var modeNames = [modes]string{
	"Write", "WriteTo", "Take and WriteBuffer", "WriteNotify", "Post", "timer", "other goroutine", "Detach", "relay", "frames",
	"push", "idle timeout", "Abort", "panic", "Goexit",
}

func (m mode) String() string { return modeNames[m] }

// server is the accepted end of a connection.
type server struct {
	*end
	r        *rand.Rand
	half     bool // AllowHalfClose
	h        header
	ready    bool // the header is there
	at       int  // bytes verified
	sent     int  // bytes pushed
	pending  int  // answers on their way
	finished bool // OnEOF was called
	peer     *relay
	doomed   bool
	cutShort bool // a line had no end
	every    *tandem.Timer
}

// accepting makes a server of each stream.
type accepting struct {
	tandem.BaseHandler
	l    *life
	kind string
	half bool
}

// OnOpen implements tandem.Handler.
func (a *accepting) OnOpen(s *tandem.Stream) {
	v := &server{end: a.l.newEnd(a.kind), half: a.half, r: rand.New(rand.NewPCG(s.ID(), a.l.seed))}
	v.impatient.Store(a.kind == "hasty")
	v.secret.Store(a.kind == "tls")
	v.data, v.eof, v.writable, v.over = v.onData, v.onEOF, v.onWritable, v.onOver
	v.open = v.onOpen
	v.install(s)
	v.OnOpen(s)
}

// install makes v the handler, which drains by itself now and then.
func (v *server) install(s *tandem.Stream) {
	if v.r.IntN(3) > 0 {
		s.SetHandler(v.end)
		return
	}
	v.drain = func(s *tandem.Stream) {
		if v.r.IntN(2) == 0 {
			v.after(s, time.Duration(v.r.IntN(20))*time.Millisecond, func() { _ = s.Close() })
		} // else the Transport aborts it in the end
	}
	s.SetHandler(drainer{v.end})
}

func (v *server) onOpen(s *tandem.Stream) {
	if v.r.IntN(8) == 0 {
		v.every = s.Every(time.Duration(1+v.r.IntN(5))*time.Millisecond, func() {
			v.enter("a timer of Every")
			defer v.leave()
			v.l.count(done, "ticks of Every")
		})
	}
	if v.r.IntN(4) == 0 {
		s.After(time.Hour, func() { v.l.failf("a timer of an hour ran") }).Stop()
	}
}

func (v *server) onData(s *tandem.Stream) {
	if !v.ready && !v.begin(s) {
		return
	}
	if s.Buffered() > 0 {
		v.serve(s)
	}
}

// begin reads the header.
func (v *server) begin(s *tandem.Stream) bool {
	if s.Buffered() < headSize {
		return false
	}
	b, err := s.Next(headSize)
	if err == nil {
		v.h, err = parseHeader(b)
	}
	if err != nil {
		v.l.wrong(v.kind, err)
		v.abort(v.r, s)
		return false
	}
	v.ready = true
	v.l.count(done, "connections served by "+v.h.mode.String())
	switch v.h.mode {
	case modeFrames:
		v.frames(s)
	case modePush:
		v.push(s)
	case modeIdle:
		v.impatient.Store(true)
		s.SetIdleTimeout(20 * time.Millisecond)
	case modeRelay:
		v.relay(s)
	case modeGoexit:
		v.doomed = v.l.doomed.Add(-1) >= 0
	}
	return true
}

// serve serves bytes.
func (v *server) serve(s *tandem.Stream) {
	switch v.h.mode {
	case modeWriteTo:
		p, _ := s.Peek(-1)
		v.verify(p)
		if _, err := s.WriteTo(s); !v.ok("WriteTo", err) {
			_, _ = s.Discard(-1) // there may be more to read, of a peer that takes no answer any longer
		}
	case modeTake:
		v.take(s)
	case modeNotify:
		p := v.next(s, -1)
		v.pending++
		v.ok("WriteNotify", v.notify(s, p, func(error) { v.answered(s) }))
	case modePart:
		v.part(s)
	case modeTimer, modeElsewhere:
		v.later(s)
	case modeDetach:
		v.detaching(s)
	case modeRelay:
		v.pass(s)
	case modeFrames:
	case modePush:
		v.verify(v.read(s, -1))
	default:
		v.echo(s)
	}
}

// read reads bytes, and verify checks them.
func (v *server) read(s *tandem.Stream, n int) []byte {
	p, _ := s.Next(n)
	return p
}

func (v *server) verify(p []byte) {
	if err := verify(p, v.h.key, v.at); err != nil {
		v.l.wrong(fmt.Sprintf("a server, %s, %+v", v.kind, v.h), err)
	}
	v.at += len(p)
	v.l.verified.Add(uint64(len(p)))
}

func (v *server) next(s *tandem.Stream, n int) []byte {
	p := v.read(s, n)
	v.verify(p)
	return p
}

// ok fails for an error of a write that is none of an ended stream.
func (v *server) ok(what string, err error) bool {
	if err != nil && err != net.ErrClosed {
		v.l.failf("%s of a server, %v: %v", what, v.h.mode, err)
	}
	return err == nil
}

func (v *server) write(s *tandem.Stream, p []byte) {
	_, err := s.Write(p)
	v.ok("Write", err)
}

// echo sends back, and does at the cut what the header says.
func (v *server) echo(s *tandem.Stream) {
	p := v.next(s, -1)
	v.write(s, p)
	if v.at < int(v.h.cut) {
		return
	}
	switch {
	case v.h.mode == modeAbort:
		v.abort(v.r, s)
	case v.h.mode == modePanic:
		v.elsewhere(s, v.panics)
	case v.h.mode == modeGoexit && v.doomed:
		v.doomed = false
		v.elsewhere(s, v.exits)
	}
}

// elsewhere runs fn in this callback, or in one of another kind.
func (v *server) elsewhere(s *tandem.Stream, fn func()) {
	switch v.h.where % 4 {
	case 0:
		v.post(s, fn)
	case 1:
		v.after(s, time.Millisecond, fn)
	case 2:
		v.ok("WriteNotify", v.notify(s, nil, func(error) { fn() }))
	default:
		fn()
	}
}

// exits ends the goroutine of the loop.
func (v *server) exits() {
	v.l.died.Store(true)
	v.l.count(faults, "Goexit in callbacks")
	runtime.Goexit()
}

func (v *server) take(s *tandem.Stream) {
	for s.Buffered() > 0 {
		n := -1
		if v.r.IntN(3) == 0 {
			n = 1 + v.r.IntN(s.Buffered())
		}
		b, err := s.Take(n)
		if err != nil {
			v.l.failf("Take(%d) of %d: %v", n, s.Buffered(), err)
			return
		}
		v.verify(b.Bytes())
		if err := s.WriteBuffer(b); !v.ok("WriteBuffer", err) {
			b.Release()
			return
		}
	}
}

// part reads a part of what is there, and the rest later.
func (v *server) part(s *tandem.Stream) {
	v.write(s, v.next(s, 1+v.r.IntN(s.Buffered())))
	if s.Buffered() > 0 && v.pending == 0 {
		v.pending++
		v.post(s, func() {
			if s.Buffered() > 0 {
				v.write(s, v.next(s, -1))
			}
			v.answered(s)
		})
	}
}

// later answers by a timer or from another goroutine.
func (v *server) later(s *tandem.Stream) {
	answer := append([]byte(nil), v.next(s, -1)...)
	v.pending++
	s.PauseRead()
	if v.h.mode == modeTimer {
		v.after(s, time.Duration(v.r.IntN(3000))*time.Microsecond, func() {
			v.write(s, answer)
			s.ResumeRead()
			v.answered(s)
		})
		return
	}
	flush := v.r.IntN(3) == 0
	v.l.workers.Add(1)
	go func() {
		defer v.l.workers.Done()
		v.write(s, answer)
		if flush {
			v.ok("Flush", s.Flush())
		}
		s.ResumeRead()
		v.post(s, func() { v.answered(s) })
	}()
}

// push writes for as long as there is room.
func (v *server) push(s *tandem.Stream) {
	for v.sent < int(v.h.cut) && s.Writable() {
		n := min(int(v.h.cut)-v.sent, 1+v.r.IntN(30_000))
		p := pattern(v.h.key, v.sent, v.sent+n)
		var err error
		if v.r.IntN(2) == 0 {
			_, err = s.Writev(net.Buffers{p[:n/2], p[n/2:]})
		} else {
			_, err = s.Write(p)
		}
		if !v.ok("Write", err) {
			return
		}
		v.sent += n
	}
	if v.sent == int(v.h.cut) {
		v.sent++ // once
		if v.r.IntN(2) == 0 {
			_ = s.Close()
		} else {
			v.ok("CloseWrite", s.CloseWrite())
		}
	}
}

func (v *server) onWritable(s *tandem.Stream) {
	if v.ready && v.h.mode == modePush {
		v.push(s)
	}
	if v.peer != nil {
		v.peer.stream.ResumeRead()
	}
}

// answered is called when an answer is on its way. What is left to do at the peer's end waits for that.
func (v *server) answered(s *tandem.Stream) {
	v.pending--
	v.conclude(s)
}

func (v *server) onEOF(s *tandem.Stream) {
	v.finished = true
	if v.h.mode == modeRelay && v.peer != nil {
		_ = v.peer.stream.CloseWrite()
		if v.peer.closed.Load() > 0 {
			_ = s.Close()
		}
		return
	}
	v.conclude(s)
}

// conclude closes behind the peer's end, in one of the ways.
func (v *server) conclude(s *tandem.Stream) {
	if !v.finished || v.pending > 0 || v.h.mode == modePush && v.sent <= int(v.h.cut) || !v.half {
		return
	}
	if v.r.IntN(3) == 0 {
		_ = session.CloseInStages(s)
	} else {
		_ = s.Close()
	}
}

func (v *server) onOver(*tandem.Stream, error) {
	if v.peer != nil && v.peer.closed.Load() == 0 {
		v.peer.aborted.Store(true)
		_ = v.peer.stream.Abort()
	}
}
