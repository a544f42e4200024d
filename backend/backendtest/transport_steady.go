package backendtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// endings are ways in which a stream and its peer may end.
var endings = map[string]func(*Env, *session.Stream, Peer){
	"Close": func(e *Env, s *session.Stream, p Peer) { require.NoError(e, s.Close(), "close") },
	"Abort": func(e *Env, s *session.Stream, p Peer) { require.NoError(e, s.Abort(), "abort") },
	"peer's FIN": func(e *Env, s *session.Stream, p Peer) {
		require.NoError(e, p.CloseWrite(), "close for writing")
	},
	"peer's close": func(e *Env, s *session.Stream, p Peer) { require.NoError(e, p.Close(), "close") },
	"peer's reset": func(e *Env, s *session.Stream, p Peer) { require.NoError(e, p.Reset(), "reset") },
	"CloseWrite, and the peer's close": func(e *Env, s *session.Stream, p Peer) {
		require.NoError(e, s.CloseWrite(), "CloseWrite")
		_, _ = io.Copy(io.Discard, p)
		require.NoError(e, p.Close(), "close")
	},
	"Close with bytes unread": func(e *Env, s *session.Stream, p Peer) {
		s.PauseRead()
		_, err := p.Write(Pattern(5000))
		require.NoError(e, err, "write")
		require.NoError(e, s.Close(), "close")
	},
	"Abort with bytes unread": func(e *Env, s *session.Stream, p Peer) {
		s.PauseRead()
		_, err := p.Write(Pattern(5000))
		require.NoError(e, err, "write")
		require.NoError(e, s.Abort(), "abort")
	},
	"Abort while writing": func(e *Env, s *session.Stream, p Peer) {
		_, err := s.Write(make([]byte, 3<<20))
		require.NoError(e, err, "write")
		require.NoError(e, s.Abort(), "abort")
	},
	"peer's close while writing": func(e *Env, s *session.Stream, p Peer) {
		_, err := s.Write(make([]byte, 3<<20))
		require.NoError(e, err, "write")
		require.NoError(e, p.Close(), "close")
	},
	"Close while writing": func(e *Env, s *session.Stream, p Peer) {
		_, err := s.Write(make([]byte, 200<<10))
		require.NoError(e, err, "write")
		require.NoError(e, s.Close(), "close")
		_, _ = io.Copy(io.Discard, p)
	},
	"both at once": func(e *Env, s *session.Stream, p Peer) {
		go func() { _ = s.Close() }()
		require.NoError(e, p.Close(), "close")
	},
	"with timers": func(e *Env, s *session.Stream, p Peer) {
		s.After(time.Hour, func() {})
		s.SetIdleTimeout(time.Hour)
		require.NoError(e, s.Close(), "close")
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

// mappings opens and closes Transports, whose queues and buffers are mapped memory.
func mappings(e *Env) {
	if !e.once() {
		return
	}
	const times = 30
	cycle := func() {
		t := e.Open(func(o *Options) { o.Loops = 4 })
		s, p := e.PairOn(t, NewHooks(), session.StreamOptions{})
		_, err := p.Write([]byte("x"))
		require.NoError(e, err, "write")
		require.NoError(e, s.Close(), "close")
		require.NoError(e, t.Shutdown(e.patient()), "shutdown")
		require.NoError(e, p.Close(), "close")
	}
	cycle()
	files := len(takeCensus().files)
	rings, kilobytes := e.mapped()
	for range times {
		cycle()
		e.Eventually(func() bool { return len(takeCensus().files) <= files }, "no descriptors left by a Transport")
	}
	nowRings, nowKilobytes := e.mapped()
	assert.LessOrEqual(e, nowRings, rings, "mappings of rings")
	// The receive buffers of one cycle are 8 MiB, if they have their default size.
	grown := nowKilobytes - kilobytes
	assert.LessOrEqual(e, grown, times*8<<10/2, "KiB by which the process has grown in %d cycles", times)
}

// mapped counts the mappings of rings, and the KiB of all mappings that are not the heap of Go, whose arenas of 64 MiB
// come when garbage makes them necessary: proc_pid_maps(5).
func (e *Env) mapped() (rings, kilobytes int) {
	e.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(e, err, "read the mappings")
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
		require.NoError(e, err, "a mapping: %s", line)
		if at := from >> 36; at != goArenas[runtime.GOARCH] {
			kilobytes += int((to - from) >> 10)
		}
	}
	return strings.Count(string(maps), "io_uring"), kilobytes
}

// goArenas is where the heap of Go begins, in units of 64 GiB: mallocinit in runtime/malloc.go.
var goArenas = map[string]uint64{"amd64": 0xc000000000 >> 36, "arm64": 0x4000000000 >> 36}

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
				_, err := p.Write(message)
				require.NoError(e, err, "write")
				_, err = io.ReadFull(p, answer)
				require.NoError(e, err, "read")
			}
		}
		exchange(100)
		n := steady(func() { exchange(200) })
		assert.Zero(e, n, "allocations for 200 messages of %d bytes", size)
		require.NoError(e, p.Close(), "close")
	}
}

// steady returns how many allocations fn makes when it has been called often enough. The runtime itself allocates now
// and then, on its own account, and on a busy machine queues may reach a new length in one call: so it is the least of
// some calls.
func steady(fn func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := ^uint64(0)
	var before, after runtime.MemStats
	for range 20 {
		runtime.ReadMemStats(&before)
		fn()
		runtime.ReadMemStats(&after)
		if least = min(least, after.Mallocs-before.Mallocs); least == 0 {
			break
		}
	}
	return least
}
