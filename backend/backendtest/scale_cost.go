package backendtest

import (
	"net"
	"runtime/debug"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on what one stream costs beside many others.
var scaleRules = []Rule{
	{"S39_CostOfEnding", costOfEnding},
	{"S39_HangUpOfMany", hangUpOfMany},
}

// many is how many idle streams there are in these rules.
const many = 8000

// beside opens a Transport with n idle streams, which is closed at the end.
func (e *Env) beside(n int) *bystanders {
	e.Helper()
	return e.besideOn(e.Drivers, n)
}

func (e *Env) besideOn(drivers Drivers, n int) *bystanders {
	e.Helper()
	b, err := newBystanders(drivers, n, 0)
	require.NoError(e, err, "a Transport with %d idle streams", n)
	e.Cleanup(func() { _ = b.close() })
	return b
}

// cycles are ways in which a stream begins, pauses and ends.
var cycles = []struct {
	name string
	run  func(*Env, *Hooks, *session.Stream, Peer)
}{
	{"Close", func(e *Env, _ *Hooks, s *session.Stream, _ Peer) { require.NoError(e, s.Close(), "close") }},
	{"Abort", func(e *Env, _ *Hooks, s *session.Stream, _ Peer) { require.NoError(e, s.Abort(), "abort") }},
	{"the peer's close", func(e *Env, _ *Hooks, _ *session.Stream, p Peer) { require.NoError(e, p.Close(), "close the peer") }},
	{"a pause", func(e *Env, h *Hooks, s *session.Stream, p Peer) {
		s.PauseRead()
		e.writeAll(p, Pattern(100))
		e.onLoop(s, func() {})
		s.ResumeRead()
		e.Eventually(func() bool { return h.Len() == 100 }, "the bytes")
		require.NoError(e, s.Close(), "close")
	}},
}

// cost is what cycles of one kind took.
type cost struct {
	submissions, completions, calls float64 // of the loop, for each cycle
	cpu                             time.Duration
}

// costs runs each kind of cycle, many times, and returns what each took. CPU time is that of the cheapest of several
// rounds.
func (b *bystanders) costs(e *Env) []cost {
	all := make([]cost, len(cycles))
	for i, c := range cycles {
		const rounds, times = 5, 40
		for round := range rounds {
			before, cpu := b.settledStats(e), cpuTime()
			for range times {
				h := NewHooks()
				s, p := e.PairOn(b.t, h, session.StreamOptions{})
				c.run(e, h, s, p)
				h.Closed()
				_ = p.Close()
			}
			cpu = cpuTime() - cpu
			after := b.settledStats(e)
			if round == 0 || cpu < all[i].cpu {
				all[i] = cost{
					submissions: float64(after.Submissions-before.Submissions) / times,
					completions: float64(after.Completions-before.Completions) / times,
					calls:       float64(after.SystemCalls-before.SystemCalls) / times,
					cpu:         cpu,
				}
			}
		}
	}
	return all
}

// settledStats are the figures when only the bystanders are there, and nothing moves.
func (b *bystanders) settledStats(e *Env) session.Stats {
	e.Helper()
	left := b.left()
	require.Equal(e, "", left, "what is left beside the others after %v", patience)
	return b.t.Stats()
}

// costOfEnding compares what one stream costs beside none and beside many: the requests and system calls of its loop,
// and roughly the CPU time.
func costOfEnding(e *Env) {
	if !e.once() {
		return
	}
	old := debug.SetGCPercent(-1) // its cost does depend on how much there is
	defer debug.SetGCPercent(old)
	alone := e.beside(1).costs(e)
	crowded := e.beside(many).costs(e)
	for i, c := range cycles {
		a, b := alone[i], crowded[i]
		for _, f := range []struct {
			what string
			a, b float64
		}{{"submissions", a.submissions, b.submissions}, {"completions", a.completions, b.completions}, {"system calls", a.calls, b.calls}} {
			assert.LessOrEqual(e, f.b, 1.2*f.a+1, "%s takes %.2f %s alone, and %.2f beside %d idle streams", c.name, f.a, f.what, f.b, many)
		}
		assert.LessOrEqual(e, b.cpu, 3*a.cpu, "%s takes %v of CPU alone, and %v beside %d idle streams", c.name, a.cpu, b.cpu, many)
		e.Logf("%s: alone %.2f, %.2f, %.2f, %v; beside %d %.2f, %.2f, %.2f, %v", c.name, a.submissions, a.completions, a.calls, a.cpu,
			many, b.submissions, b.completions, b.calls, b.cpu)
	}
}

// hangUpOfMany has the peers of many streams close them at once, while another stream echoes. It may wait for longer
// than usual, but not for much longer than on the yardstick: in the best of some attempts, because a machine that is busy
// can hold up either.
func hangUpOfMany(e *Env) {
	if !e.once() {
		return
	}
	for attempts := 3; ; attempts-- {
		delay := e.delayByHangUp(e.Drivers)
		if e.Yardstick == nil {
			e.Logf("another stream's echo took %v at most", delay)
			return
		}
		floor := e.delayByHangUp(e.Yardstick)
		e.Logf("another stream's echo took %v at most, and %v on the yardstick", delay, floor)
		if limit := 500*time.Millisecond + 3*floor; delay <= limit || attempts == 1 {
			assert.LessOrEqual(e, delay, limit, "when %d peers hang up another stream's echo takes %v, and on the yardstick %v", many, delay, floor)
			return
		}
	}
}

// delayByHangUp returns how long the longest echo took from when the peers began to hang up until all were gone.
func (e *Env) delayByHangUp(drivers Drivers) time.Duration {
	e.Helper()
	b := e.besideOn(drivers, many)
	h := echo()
	h.env(e)
	l, err := b.t.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(e, err, "listen")
	c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	require.NoError(e, err, "connect")
	p := e.plain(c)
	e.pingPong(p)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.leave()
		waitFor(func() bool { return b.t.Stats().Streams == 1 })
	}()
	longest := time.Duration(0)
	for over := false; !over; {
		began := time.Now()
		e.pingPong(p)
		longest = max(longest, time.Since(began))
		select {
		case <-gone:
			over = true
		default:
		}
	}
	n := b.t.Stats().Streams
	assert.Equal(e, 1, n, "streams %v after all peers but one hung up", patience)
	began := time.Now()
	e.within("Close of the Transport", func() { require.NoError(e, b.t.Close(), "close the Transport") })
	return max(longest, time.Since(began))
}
