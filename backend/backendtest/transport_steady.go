package backendtest

import (
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/tandem-io/tandem/session"
)

// endings are ways in which a stream and its peer may end.
var endings = map[string]func(*Env, *session.Stream, Peer){
	"Close": func(e *Env, s *session.Stream, p Peer) { e.Check(s.Close(), "close") },
	"Abort": func(e *Env, s *session.Stream, p Peer) { e.Check(s.Abort(), "abort") },
	"peer's FIN": func(e *Env, s *session.Stream, p Peer) {
		e.Check(p.CloseWrite(), "close for writing")
	},
	"peer's close": func(e *Env, s *session.Stream, p Peer) { e.Check(p.Close(), "close") },
	"peer's reset": func(e *Env, s *session.Stream, p Peer) { e.Check(p.Reset(), "reset") },
	"CloseWrite, and the peer's close": func(e *Env, s *session.Stream, p Peer) {
		e.Check(s.CloseWrite(), "CloseWrite")
		_, _ = io.Copy(io.Discard, p)
		e.Check(p.Close(), "close")
	},
	"Close with bytes unread": func(e *Env, s *session.Stream, p Peer) {
		s.PauseRead()
		_, err := p.Write(Pattern(5000))
		e.Check(err, "write")
		e.Check(s.Close(), "close")
	},
	"Abort with bytes unread": func(e *Env, s *session.Stream, p Peer) {
		s.PauseRead()
		_, err := p.Write(Pattern(5000))
		e.Check(err, "write")
		e.Check(s.Abort(), "abort")
	},
	"Abort while writing": func(e *Env, s *session.Stream, p Peer) {
		_, err := s.Write(make([]byte, 3<<20))
		e.Check(err, "write")
		e.Check(s.Abort(), "abort")
	},
	"peer's close while writing": func(e *Env, s *session.Stream, p Peer) {
		_, err := s.Write(make([]byte, 3<<20))
		e.Check(err, "write")
		e.Check(p.Close(), "close")
	},
	"Close while writing": func(e *Env, s *session.Stream, p Peer) {
		_, err := s.Write(make([]byte, 200<<10))
		e.Check(err, "write")
		e.Check(s.Close(), "close")
		_, _ = io.Copy(io.Discard, p)
	},
	"both at once": func(e *Env, s *session.Stream, p Peer) {
		go func() { _ = s.Close() }()
		e.Check(p.Close(), "close")
	},
	"with timers": func(e *Env, s *session.Stream, p Peer) {
		s.After(time.Hour, func() {})
		s.SetIdleTimeout(time.Hour)
		e.Check(s.Close(), "close")
	},
}

// noLeak connects and closes in every way, a few hundred times in all.
func noLeak(e *Env) {
	h := NewHooks()
	cycle := func(end func(*Env, *session.Stream, Peer)) {
		s, p := e.Pair(h, session.StreamOptions{})
		end(e, s, p)
		h.Closed()
		_ = p.Close()
	}
	cycle(endings["Close"]) // opens what there is once
	e.settled(e.Under())
	files := len(takeCensus().files)
	goroutines := runtime.NumGoroutine()
	const each = 16
	for what, end := range endings {
		for range each {
			cycle(end)
		}
		e.Eventually(func() bool { return len(takeCensus().files) <= files }, "no descriptors left by %s", what)
	}
	all := uint64(1 + each*len(endings))
	e.statsAre(func(s session.Stats) error {
		return errors.Join(same("Streams", s.Streams, 0), same("Sockets", s.Sockets, 0), same("Requests", s.Requests, 0),
			same("BuffersTaken", s.BuffersTaken, 0), same("Opened", s.Opened, all), same("Closed", s.Closed, all))
	})
	e.Eventually(func() bool { return runtime.NumGoroutine() <= goroutines }, "no goroutines left")
}

// answerer answers each message of size bytes in OnData. Hooks would allocate there.
type answerer struct {
	*Hooks
	size int
}

func (a *answerer) OnData(s *session.Stream) {
	for s.Buffered() >= a.size {
		p, _ := s.Next(a.size)
		_, _ = s.Write(p)
	}
}

// noAllocation counts all that the process allocates while a stream answers. A plain peer allocates nothing, either.
func noAllocation(e *Env) {
	if e.Peers != nil {
		return // peers that are streams gather bytes in memory that they allocate
	}
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		a := &answerer{NewHooks(), size}
		a.Open = func(s *session.Stream) { s.SetHandler(a) }
		_, p := e.Pair(a.Hooks, session.StreamOptions{})
		message, answer := Pattern(size), make([]byte, size)
		exchange := func(n int) {
			for range n {
				if _, err := p.Write(message); err != nil {
					e.Fatalf("write: %v", err)
				}
				if _, err := io.ReadFull(p, answer); err != nil {
					e.Fatalf("read: %v", err)
				}
			}
		}
		exchange(100)
		if n := steady(func() { exchange(200) }); n != 0 {
			e.Errorf("200 messages of %d bytes cost %d allocations", size, n)
		}
		e.Check(p.Close(), "close")
	}
}

// steady returns how many allocations fn makes when it has been called often enough. The runtime itself allocates now
// and then, on its own account: so it is the least of some calls.
func steady(fn func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := ^uint64(0)
	var before, after runtime.MemStats
	for range 5 {
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		if least = min(least, after.Mallocs-before.Mallocs); least == 0 {
			break
		}
	}
	return least
}
