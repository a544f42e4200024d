package simulated_test

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// stepped is an engine whose loops have goroutines of their own, which the test steps.
func stepped(t *testing.T, completions bool, c simulated.Config, loops int) (*world, []simulated.Driver) {
	return looped(t, completions, c, loops, nil)
}

// looped is stepped. change may change what the engine is made of.
func looped(t *testing.T, completions bool, c simulated.Config, loops int, change func(*session.Config)) (*world, []simulated.Driver) {
	c.Stepped, c.Settle = true, synctest.Wait
	k := simulated.New(c)
	drivers := k.Drivers(loops, completions)
	config := engineConfig(t, k, drivers, change)
	made := make(chan *session.Engine, 1)
	go func() {
		e, err := session.New(config)
		if err != nil {
			panic(err)
		}
		made <- e
	}()
	var own []simulated.Driver
	for _, d := range drivers {
		own = append(own, d.(simulated.Driver))
	}
	return &world{t, k, <-made}, own
}

// lockedEcho is echo for several loops.
type lockedEcho struct {
	mu sync.Mutex
	echo
}

func (h *lockedEcho) OnOpen(s *session.Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.echo.OnOpen(s)
}

func (h *lockedEcho) OnClose(s *session.Stream, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.echo.OnClose(s, err)
}

func (h *lockedEcho) ended(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed == n && h.opened == n
}

// steps steps until cond holds.
func (w *world) steps(what string, cond func() bool) {
	for range 200_000 {
		if cond() {
			return
		}
		w.k.Step()
	}
	require.Fail(w.t, "did not come: "+what)
}

// beside runs fn, which waits for loops, on another goroutine, and steps until it has returned.
func (w *world) beside(what string, fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	w.steps(what, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

func TestSteppedLoops(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for seed := range uint64(30) {
			synctest.Test(t, func(t *testing.T) { testSteppedLoops(t, completions, seed) })
		}
	})
}

func testSteppedLoops(t *testing.T, completions bool, seed uint64) {
	w, _ := stepped(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()}, 3)
	h := &lockedEcho{}
	message := bytes.Repeat([]byte("0123456789abcdef"), 2_000)
	for _, p := range w.senders(9, w.serve(h, nil), message) {
		w.steps("the end of an echo", p.EOF)
		require.True(t, bytes.Equal(message, p.Received()))
	}
	w.steps("all ends", func() bool { return h.ended(9) })
	w.endStepped()
}

// TestFailedDriver has one of three loops fail: its streams end, the listener goes on on the others.
func TestFailedDriver(t *testing.T) { bubbles(t, testFailedDriver) }

func testFailedDriver(t *testing.T, completions bool) {
	w, drivers := stepped(t, completions, simulated.Config{Seed: 1}, 3)
	h := &lockedEcho{}
	l, err := w.e.Listen("tcp", "localhost:0", h, nil)
	require.NoError(t, err)
	for _, d := range drivers {
		p := w.dial(l.Addr().String())
		p.Send([]byte("x"))
		w.steps("an echo", func() bool { return p.Count() == 1 })
		d.Fail()
		for range 100 {
			w.k.Step()
		}
	}
	w.steps("the end of the last loop", func() bool { return w.e.Err() != nil })
	require.ErrorIs(t, w.e.Err(), simulated.ErrFailed)
	require.ErrorIs(t, l.Err(), simulated.ErrFailed)
	w.beside("Close", func() { _ = w.e.Close() })
	require.Zero(t, w.k.OpenDescriptors())
}

// TestGoroutinesActBeforeTimePasses has one send through buffers that are much too small: as soon as there is room it
// goes on, so no time passes between two pieces but that on their way.
func TestGoroutinesActBeforeTimePasses(t *testing.T) {
	for name, pass := range map[string]func(w *world){
		"Step":    func(w *world) { w.k.Step() },
		"Advance": func(w *world) { w.k.Advance(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, network := range []string{"tcp", "unix"} {
				bubbles(t, func(t *testing.T, completions bool) {
					w, _ := stepped(t, completions, simulated.Config{SendBuffer: 10, ReceiveBuffer: 10}, 1)
					c, p, err := w.k.NewConn(network)
					require.NoError(t, err)
					require.NoError(t, c.SetWriteDeadline(w.k.Clock().Now().Add(500*time.Millisecond)))
					over := false
					go func() {
						_, err = c.Write(make([]byte, 1000))
						over = true
					}()
					for range 10_000 {
						if synctest.Wait(); over {
							break
						}
						pass(w)
					}
					require.True(t, over, "Write does not end")
					require.NoError(t, err)
					require.NoError(t, c.Close())
					w.k.Advance(time.Second)
					require.Equal(t, 1000, p.Count())
					w.endStepped()
				})
			}
		})
	}
}
