package backendtest

import (
	"bytes"
	"errors"
	"net"
	"time"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// The rest of the rules on sessions: many of them, and what they cost.

// sessionsAccept polls a listener before, with and after connections.
func sessionsAccept(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, err := polled.Listen(t, e.Network, e.Address(), nil)
		e.Check(err, "listen")
		for range 3 {
			if s, ok, err := a.Accept(); s != nil || ok || err != nil {
				e.Fatalf("Accept although nobody waits: %v, %v, %v", s, ok, err)
			}
		}
		var dialled []driver
		for range 5 {
			s, err := polled.Connect(t, e.Network, a.Addr().String(), nil)
			e.Check(err, "connect")
			dialled = append(dialled, s)
		}
		var accepted []*polled.StreamSession
		e.duty("three sessions", func() bool {
			s, ok, err := a.Accept()
			e.Check(err, "accept")
			if ok {
				accepted = append(accepted, s)
			}
			return len(accepted) == 3
		}, dialled...)
		for _, s := range accepted {
			if s.Status() != polled.Established {
				e.Errorf("an accepted session is %v", s.Status())
			}
		}
		e.duty("all are there", func() bool { return a.Stats().Streams == 5 }, dialled...)
		e.Check(a.Close(), "close")
		e.Check(a.Close(), "close again")
		if _, ok, err := a.Accept(); ok || !errors.Is(err, net.ErrClosed) {
			e.Errorf("Accept after Close: %v, %v", ok, err)
		}
		for deadline := time.Now().Add(patience); a.Stats().Streams != 3; time.Sleep(20 * time.Microsecond) {
			_, _ = accepted[0].Drive()
			if time.Now().After(deadline) {
				e.Fatalf("%d streams after Close, not the 3 that were accepted", a.Stats().Streams)
			}
		}
		for _, s := range accepted {
			e.Check(s.Close(), "close")
		}
		for _, s := range dialled {
			e.Check(s.(*polled.StreamSession).Close(), "close")
		}
	})
}

// sessionsShare has many sessions on one Transport, and counts how often a duty cycle polls it.
func sessionsShare(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	var all []driver
	for range 10 {
		a, b := e.sessions(t)
		all = append(all, a, b)
	}
	for range 20 { // until nothing is left to do
		for _, s := range all {
			_, err := s.Drive()
			e.Check(err, "drive")
		}
	}
	before := t.Stats().Turns
	const cycles = 50
	for range cycles {
		for _, s := range all {
			_, err := s.Drive()
			e.Check(err, "drive")
		}
	}
	if n := t.Stats().Turns - before; n > cycles+1 || n < cycles/2 {
		e.Errorf("%d cycles of %d sessions polled %d times, not once in a cycle", cycles, len(all), n)
	}
	elsewhere := make(chan error)
	go func() {
		_, err := all[0].Drive()
		elsewhere <- err
	}()
	if err := <-elsewhere; err == nil {
		e.Error("Drive on a goroutine that does not poll the Transport returned no error")
	}
	for _, s := range all {
		e.Check(s.(*polled.StreamSession).Close(), "close")
	}
	if _, err := all[0].Drive(); !errors.Is(err, net.ErrClosed) {
		e.Errorf("Drive of a closed session: %v", err)
	}
}

// sessionsBounded looks at what a session that is not read takes from the kernel, and at what one keeps that nobody takes.
func sessionsBounded(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		block := Pattern(1 << 20)
		sent, stuck := 0, 0
		e.duty("no more is taken", func() bool {
			rest, _, err := a.Write(block)
			e.Check(err, "write")
			sent += len(block) - len(rest)
			if stuck++; len(rest) < len(block) {
				stuck = 0
			}
			return stuck > 500
		}, a, b)
		if n, high := a.Queued(), a.Stream().Options().HighWater; n > high {
			e.Errorf("%d bytes are queued, above HighWater, %d", n, high)
		}
		received := uint64(0)
		e.onStreamLoop(t, b, func() { received = uint64(b.Stream().Buffered()) })
		if most := uint64(b.Stream().Options().ReadBufferLimit + 3<<20); received > most { // and what a turn may bring
			e.Errorf("the stream holds %d bytes of a session that is not read", received)
		}
		if got := e.receive(b, sent, a); !bytes.Equal(got[:1000], block[:1000]) || len(got) != sent {
			e.Errorf("%d bytes came of %d", len(got), sent)
		}
		e.Check(a.Close(), "close")
		e.Check(b.Close(), "close")
	})
}

// sessionsResetFull has a reset come while the session holds all that it may, and its stream some more.
func sessionsResetFull(e *Env) {
	e.bothWays(func(t *session.Engine) {
		if e.Network != "tcp" {
			return
		}
		a, b := e.sessions(t)
		want := Pattern(400 << 10)
		rest, held := want, 0
		e.duty("bytes that wait in the stream", func() bool {
			left, _, err := a.Write(rest)
			e.Check(err, "write")
			rest = left
			e.onStreamLoop(t, b, func() { held = b.Stream().Buffered() })
			return held > 0
		}, a, b)
		e.Check(a.Stream().Abort(), "abort")
		e.duty("the reset, which Flush tells at once", func() bool { return b.Flush() != nil }, b)
		var got []byte
		for {
			_, _ = b.Drive() // it fails when all has been read
			data, _, err := b.Read()
			if got = append(got, data...); err != nil {
				break
			}
		}
		if len(got) < 256<<10+held || !bytes.HasPrefix(want, got) {
			e.Errorf("%d bytes before the reset, of %d that had come, or they differ", len(got), 256<<10+held)
		}
		e.Check(a.Close(), "close")
		e.Check(b.Close(), "close")
	})
}

// onStreamLoop runs fn on the loop of a session's stream.
func (e *Env) onStreamLoop(t *session.Engine, s *polled.StreamSession, fn func()) {
	e.Helper()
	done := make(chan struct{})
	e.Check(s.Stream().Post(func() { defer close(done); fn() }), "post")
	e.duty("a posted function", func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}, s)
}

// sessionsNoAllocation sends messages to and fro.
func sessionsNoAllocation(e *Env) {
	e.bothWays(func(t *session.Engine) {
		a, b := e.sessions(t)
		one, two := polled.NewFramed(a, frame.U64{}, 0), polled.NewFramed(b, frame.U64{}, 0)
		for _, size := range []int{0, 64, 16 << 10} {
			message := Pattern(size)
			pass := func(from, to polled.Bytes) {
				sent := false
				for {
					if !sent {
						_, status, err := from.Write(message)
						e.noError(err)
						sent = status == polled.Success
					}
					_, _ = from.Drive()
					_, _ = to.Drive()
					m, status, err := to.Read()
					e.noError(err)
					if status == polled.Data {
						if len(m) != size {
							e.Errorf("%d bytes, not %d", len(m), size)
						}
						return
					}
				}
			}
			exchange := func() {
				for range 50 {
					pass(one, two)
					pass(two, one)
				}
			}
			exchange()
			if n := steady(exchange); n != 0 {
				e.Errorf("100 messages of %d bytes cost %d allocations", size, n)
			}
		}
		e.Check(one.Close(), "close")
		e.Check(two.Close(), "close")
	})
}
