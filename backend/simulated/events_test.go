package simulated_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// waiting has n peers connect and send, and all of that arrive before the loops go on.
func (w *world) waiting(n int, address string) (all []*simulated.Peer) {
	for range n {
		p := w.dial(address)
		p.Send([]byte("x"))
		all = append(all, p)
	}
	w.k.Advance(time.Millisecond)
	return all
}

// TestGoexitAmongEvents has a callback end the loop while its driver has more to report of the same look: connections
// that were accepted, and bytes. All of them end with the loop.
func TestGoexitAmongEvents(t *testing.T) {
	for name, at := range map[string]func(*hooks){
		"connections": func(h *hooks) { h.open = func(*session.Stream) { runtime.Goexit() } },
		"bytes":       func(h *hooks) { h.data = func(*session.Stream) { runtime.Goexit() } },
	} {
		t.Run(name, func(t *testing.T) {
			bubbles(t, func(t *testing.T, completions bool) {
				w, _ := stepped(t, completions, simulated.Config{}, 1)
				h := &hooks{}
				at(h)
				address := w.serve(h, nil)
				for range 10 {
					w.k.Step() // the loop listens
				}
				peers := w.waiting(5, address)
				w.steps("the end of the loop", func() bool {
					synctest.Wait()
					return w.e.Err() != nil
				})
				require.ErrorIs(t, w.e.Err(), backend.ErrGoexit)
				w.k.Advance(time.Second)
				for i, p := range peers {
					require.True(t, p.EOF() || p.Err() != nil, "the connection of peer %d is open", i)
				}
				w.beside("Close", func() { _ = w.e.Close() })
				require.Zero(t, w.k.OpenDescriptors())
			})
		})
	}
}

// TestPanicAmongEvents has the caller of Poll recover from a panic, and go on with what else there was to report.
func TestPanicAmongEvents(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := driven(t, completions, simulated.Config{}, func(c *session.Config) { c.Propagate = true })
		opened, panics := 0, 0
		h := &hooks{open: func(*session.Stream) {
			if opened++; opened == 1 {
				panic("on purpose")
			}
		}}
		address := w.serve(h, nil)
		w.until("that it listens", func() bool { return w.e.Stats().Turns > 3 })
		w.waiting(5, address)
		poll := func() {
			defer func() {
				if recover() != nil { // the program goes on after the panic of its callback
					panics++
				}
			}()
			_, err := w.e.Poll(time.Millisecond)
			require.NoError(t, err)
		}
		for range 50 {
			poll()
		}
		require.Equal(t, 1, panics)
		require.Equal(t, 5, opened)
		w.end()
	})
}
