package simulated_test

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// TestLoopTimers has a loop's own timers: they keep the time as those of streams do, and end with the loop.
func TestLoopTimers(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		l, begin := w.e.Loop(0), w.k.Now()
		since := func() time.Duration { return (w.k.Now() - begin).Round(time.Millisecond) }
		var at []time.Duration
		var every *session.Timer
		every, err := l.Every(time.Second, func() {
			at = append(at, since())
			if len(at) == 2 {
				w.k.Spend(3500 * time.Millisecond) // it holds the loop up
			}
		})
		require.NoError(t, err)
		after, err := l.After(2500*time.Millisecond, func() { at = append(at, since()) })
		require.NoError(t, err)
		stopped, err := l.After(time.Millisecond, func() { t.Error("a timer fires that was stopped") })
		require.NoError(t, err)
		require.True(t, stopped.Stop())
		w.until("timers", func() bool { return len(at) == 5 })
		require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 5500 * time.Millisecond, 5500 * time.Millisecond, 6 * time.Second}, at)
		require.False(t, after.Stop())
		w.end()
		require.False(t, every.Stop(), "the loop's end has stopped it")
		_, err = l.After(0, func() { t.Error("a timer fires on a loop that has ended") })
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestLoopWorkAndStreams has functions posted and streams visited while streams come and go in all ways of a rough kernel:
// functions run in order, and a visit finds the streams whose OnOpen has run and whose OnClose has not.
func TestLoopWorkAndStreams(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for seed := range uint64(20) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				w := newWorld(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()})
				l, open, posted, ran, visits, inside := w.e.Loop(0), map[*session.Stream]bool{}, 0, 0, 0, 0
				visit := func() {
					seen := map[*session.Stream]bool{}
					require.NoError(t, l.Each(func(s *session.Stream) { seen[s] = true; inside++ }))
					require.Equal(t, open, seen)
				}
				h := &hooks{
					data:  func(s *session.Stream) { visit(); _, _ = s.Discard(-1) },
					close: func(s *session.Stream, _ error) { delete(open, s); visit() },
				}
				h.open = func(s *session.Stream) {
					visit()
					number := posted
					posted++
					require.NoError(t, l.Post(func() { require.Equal(t, number, ran); ran++; visit() }))
					require.NoError(t, s.Post(func() { open[s] = true }))
				}
				_ = w.senders(20, w.serve(h, nil), make([]byte, 5000))
				w.until("all ends", func() bool {
					require.NoError(t, l.Each(func(*session.Stream) { visits++ }))
					return h.ended == 20
				})
				require.Equal(t, posted, ran)
				require.Positive(t, visits)
				require.Positive(t, inside)
				w.end()
			})
		}
	})
}

// TestLoopWorkOfADeadLoop ends the goroutine of one of two loops in posted functions. All that was accepted runs, and the
// other loop works on.
func TestLoopWorkOfADeadLoop(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		h := &hooks{}
		w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		dies, lives := w.e.Loop(h.s.Loop()), w.e.Loop(1-h.s.Loop())
		ran := 0
		for i := range 10 {
			require.NoError(t, dies.Post(func() {
				ran++
				if i%4 == 1 {
					runtime.Goexit()
				}
			}))
		}
		timer, err := dies.After(time.Second, func() { t.Error("a timer fires on a loop that has died") })
		require.NoError(t, err)
		w.steps("OnClose", h.over)
		require.ErrorIs(t, h.err, backend.ErrGoexit)
		require.ErrorContains(t, h.err, fmt.Sprintf("Post of loop %d", dies.Index()))
		require.Equal(t, 10, ran)
		w.steps("a refusal", func() bool { return dies.Post(func() { ran++ }) != nil })
		require.False(t, timer.Stop())
		done := false
		require.NoError(t, lives.Post(func() { done = true }))
		w.steps("a function of the other loop", func() bool { return done })
		w.endStepped()
	})
}
