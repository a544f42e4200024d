package simulated_test

import (
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// TestManyTimers has more timers share a moment than one turn moves, in the order of their times or in the opposite one, and
// the loop be held up when it has come: none fires early, and all do in order.
func TestManyTimers(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		kinds(t, func(t *testing.T, completions bool) {
			const n = 10_000
			w, h, _ := opened(t, completions, simulated.Config{}, session.StreamOptions{})
			due := w.k.Now() + 10*time.Second
			fired := 0
			require.NoError(t, h.s.Post(func() {
				for i := range n {
					if backwards {
						i = n - 1 - i
					}
					h.s.After(10*time.Second+time.Duration(i)*100, func() {
						require.Equal(t, i, fired)
						require.GreaterOrEqual(t, w.k.Now(), due+time.Duration(i)*100)
						fired++
					})
				}
			}))
			w.passes(9 * time.Second)
			w.k.Spend(1100 * time.Millisecond)
			turns := 0
			for ; fired == 0; turns++ {
				require.Less(t, turns, 100, "no timer has fired")
				_, err := w.e.Poll(-1)
				require.NoError(t, err)
			}
			require.Greater(t, turns, n/4096) // each of which moves so many at most
			w.until("all", func() bool { return fired == n })
			require.Less(t, w.k.Now(), due+200*time.Millisecond)
			w.end()
		})
	}
}

// TestRandomTimers starts, stops and restarts timers at random, also in timers: none is early, none is late, and none fires
// that was stopped.
func TestRandomTimers(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for seed := range uint64(5) {
			w, h, _ := opened(t, completions, simulated.Config{Seed: seed, Faults: simulated.Faults{Interrupt: 0.1}}, session.StreamOptions{})
			random := rand.New(rand.NewPCG(seed, 1))
			live, fired, last := map[*session.Timer]time.Duration{}, 0, time.Duration(0)
			var start func(left int)
			start = func(left int) {
				d := time.Duration(random.Int64N(int64(time.Microsecond) << random.IntN(24)))
				if random.IntN(4) == 0 {
					d = 0
				}
				due := w.k.Now() + d
				var own *session.Timer
				own = h.s.After(d, func() {
					fired++
					require.Contains(t, live, own)
					require.GreaterOrEqual(t, w.k.Now(), due)
					require.Less(t, w.k.Now(), due+5*time.Millisecond)
					require.Greater(t, due+time.Microsecond, last) // the time of a call, but for the reading of clocks
					last = due
					delete(live, own)
					for range min(left, 2) {
						start(left / 2)
					}
					for other := range live {
						if random.IntN(3) == 0 {
							require.True(t, other.Stop())
							require.False(t, other.Stop())
							delete(live, other)
						}
						break
					}
				})
				live[own] = due
			}
			require.NoError(t, h.s.Post(func() {
				for range 500 {
					start(8)
				}
			}))
			w.until("all", func() bool { return fired > 0 && len(live) == 0 })
			require.Greater(t, fired, 500)
			w.end()
		}
	})
}

// TestEvery drops the times that were missed and does not drift, and ends when it is stopped, also by itself.
func TestEvery(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, _ := opened(t, completions, simulated.Config{}, session.StreamOptions{})
		begin := w.k.Now()
		var at []time.Duration
		var every *session.Timer
		every = h.s.Every(time.Second, func() {
			at = append(at, (w.k.Now() - begin).Round(time.Millisecond))
			switch len(at) {
			case 2:
				w.k.Spend(3500 * time.Millisecond) // it holds the loop up
			case 4:
				require.True(t, every.Stop())
			}
		})
		w.passes(20 * time.Second)
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 5500 * time.Millisecond, 6 * time.Second}, at)
		require.False(t, every.Stop())
		// Of two that are due at once, the first stops the second.
		var second *session.Timer
		h.s.After(time.Second, func() { require.True(t, second.Stop()) })
		second = h.s.Every(time.Second, func() { t.Error("it was stopped") })
		w.passes(5 * time.Second)
		w.end()
	})
}

// TestTimerStoppedByAnother has another goroutine stop a timer that is due, in the very turn that would fire it.
func TestTimerStoppedByAnother(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, p := detachPair(t, completions, simulated.Config{})
		every := h.s.Every(time.Second, func() { t.Error("it was stopped") })
		after := h.s.After(time.Second, func() { t.Error("it was stopped") })
		h.data = func(s *session.Stream) {
			_, _ = s.Discard(-1)
			w.k.Spend(2 * time.Second)
			go func() {
				require.True(t, every.Stop())
				require.True(t, after.Stop())
			}()
			synctest.Wait()
		}
		p.Send([]byte("x"))
		w.steps("a byte", func() bool { return w.e.Stats().BytesIn == 1 })
		w.k.Advance(time.Minute)
		for range 20 {
			w.k.Step()
		}
		require.NoError(t, h.s.Close())
		w.steps("OnClose", h.over)
		w.endStepped()
	})
}

// TestTimersOfADial start before OnOpen, and run after it in their order.
func TestTimersOfADial(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{Latency: 10 * time.Millisecond}, 1)
		_, err := w.k.Listen("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		var got []string
		h := &hooks{open: func(*session.Stream) { got = append(got, "OnOpen") }}
		s, err := w.e.Connect("tcp", "127.0.0.1:80", h, nil)
		require.NoError(t, err)
		s.SetReadIdleTimeout(time.Second)
		for _, name := range []string{"one", "two", "three"} {
			s.After(time.Millisecond, func() { got = append(got, name) })
		}
		s.After(math.MaxInt64, func() { t.Error("the end of time") })
		begin := w.k.Now()
		w.steps("OnClose", h.over) // nothing has come
		require.Equal(t, []string{"OnOpen", "one", "two", "three"}, got)
		require.ErrorIs(t, h.err, os.ErrDeadlineExceeded)
		require.GreaterOrEqual(t, w.k.Now()-begin, time.Second)
		w.endStepped()
	})
}

// TestNoTimerAfterAbort has a timer abort its stream when others are due: none of them runs.
func TestNoTimerAfterAbort(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, _ := opened(t, completions, simulated.Config{}, session.StreamOptions{})
		h.s.After(time.Second, func() { require.NoError(t, h.s.Abort()) })
		late := h.s.After(time.Second, func() { t.Error("a timer after Abort") })
		every := h.s.Every(time.Second, func() { t.Error("a tick after Abort") })
		w.until("OnClose", h.over)
		require.False(t, late.Stop())
		require.False(t, every.Stop())
		w.end()
	})
}

func TestTimersAreChecked(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, _ := opened(t, completions, simulated.Config{}, session.StreamOptions{})
		require.Panics(t, func() { h.s.After(0, nil) })
		require.Panics(t, func() { h.s.Every(0, func() {}) })
		require.Panics(t, func() { h.s.Every(-1, func() {}) })
		w.passes(time.Second)
		require.False(t, h.over())
		w.end()
	})
}

// TestIdle has each kind of silence end a stream, and none when it was switched off again.
func TestIdle(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for _, c := range []struct {
			read, both bool // which bytes move
			set        func(*session.Stream)
			ends       bool
		}{
			{true, false, func(s *session.Stream) { s.SetReadIdleTimeout(time.Second) }, false},
			{false, true, func(s *session.Stream) { s.SetReadIdleTimeout(time.Second) }, true},
			{false, true, func(s *session.Stream) { s.SetIdleTimeout(time.Second) }, false},
			{false, false, func(s *session.Stream) { s.SetIdleTimeout(time.Second) }, true},
			{false, false, func(s *session.Stream) { s.SetIdleTimeout(time.Second); s.SetIdleTimeout(0) }, false},
		} {
			w, h, p := opened(t, completions, simulated.Config{}, session.StreamOptions{})
			h.data = func(s *session.Stream) { _, _ = s.Discard(-1) }
			require.NoError(t, h.s.Post(func() { c.set(h.s) }))
			for range 5 {
				w.passes(600 * time.Millisecond)
				if c.read {
					p.Send([]byte("x"))
				}
				if c.both {
					_, _ = h.s.Write([]byte("x"))
				}
			}
			require.Equal(t, c.ends, h.over(), "%v", c)
			if c.ends {
				require.ErrorIs(t, h.err, os.ErrDeadlineExceeded)
			}
			w.end()
		}
	})
}

// unheard is a kernel that has bytes of the peer and does not bring them.
var unheard = simulated.Faults{Again: 1, NoBuffer: 1}

// TestIdleWaitsForWhatHasCome has bytes be in the kernel when the idle time runs out: they have come, and the stream lives.
func TestIdleWaitsForWhatHasCome(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w, h, p := opened(t, completions, simulated.Config{}, session.StreamOptions{ReadIdleTimeout: time.Second})
		h.data = func(s *session.Stream) { _, _ = s.Discard(-1) }
		w.passes(900 * time.Millisecond)
		w.k.SetFaults(unheard)
		p.Send([]byte("x"))
		for until := w.k.Now() + 300*time.Millisecond; w.k.Now() < until; {
			w.k.Spend(time.Millisecond)
			_, err := w.e.Poll(0)
			require.NoError(t, err)
		}
		require.False(t, h.over())
		w.k.SetFaults(simulated.Faults{})
		w.passes(900 * time.Millisecond)
		require.False(t, h.over())
		require.EqualValues(t, 1, w.e.Stats().BytesIn)
		w.passes(200 * time.Millisecond)
		require.ErrorIs(t, h.err, os.ErrDeadlineExceeded)
		w.end()
	})
}

// TestMessageTimeoutWaitsForWhatHasCome is the same for the rest of a message, up to twice the time.
func TestMessageTimeoutWaitsForWhatHasCome(t *testing.T) {
	for _, comes := range []bool{true, false} {
		kinds(t, func(t *testing.T, completions bool) {
			w := newWorld(t, completions, simulated.Config{})
			var got []string
			var end error
			h := session.Frames(frame.Varint{}, func(_ *session.Stream, m []byte) { got = append(got, string(m)) })
			h.MessageTimeout = time.Second
			h.Close = func(_ *session.Stream, err error) { end = err }
			p := w.peer(h, nil)
			p.Send([]byte{2, 'a'})
			w.until("the half", func() bool { return w.e.Stats().BytesIn == 2 })
			w.passes(900 * time.Millisecond)
			w.k.SetFaults(unheard)
			p.Send([]byte{'b'})
			pass := func(d time.Duration) {
				for until := w.k.Now() + d; w.k.Now() < until; {
					w.k.Spend(time.Millisecond)
					_, err := w.e.Poll(0)
					require.NoError(t, err)
				}
			}
			pass(300 * time.Millisecond)
			require.NoError(t, end)
			if comes {
				w.k.SetFaults(simulated.Faults{})
				w.until("the message", func() bool { return len(got) == 1 })
				require.NoError(t, end)
			} else {
				pass(time.Second)
				w.k.SetFaults(simulated.Faults{})
				w.until("the end", func() bool { return end != nil })
				require.ErrorIs(t, end, os.ErrDeadlineExceeded)
			}
			w.end()
		})
	}
}
