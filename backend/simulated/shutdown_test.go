package simulated_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// drains is hooks that end their streams themselves.
type drains struct {
	hooks
	drained int
}

func (h *drains) OnDrain(*session.Stream) { h.drained++ }

func TestShutdownWaitsForDrainers(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		h, other := &drains{}, &hooks{}
		p, q := w.peer(h, nil), w.peer(other, nil)
		w.steps("both", func() bool { return h.opened && other.opened })
		require.Error(t, w.e.Shutdown(nil)) //nolint:staticcheck // that is what is tried
		done := false
		go func() {
			require.NoError(t, w.e.Shutdown(t.Context()))
			done = true
		}()
		synctest.Wait()
		w.steps("the end of the one that is closed", func() bool { return other.over() && q.EOF() })
		require.Equal(t, 1, h.drained)
		w.k.Advance(time.Minute)
		synctest.Wait()
		require.False(t, done)
		_, err := w.e.Listen("tcp", "localhost:0", h, nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = w.e.Connect("tcp", "127.0.0.1:1", h, nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = w.e.Dial(t.Context(), "tcp", "127.0.0.1:1", h, nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, _ = h.s.Write([]byte("bye"))
		require.NoError(t, h.s.Close())
		w.steps("Shutdown", func() bool { synctest.Wait(); return done })
		w.steps("the end of what was written", p.EOF)
		require.Equal(t, "bye", string(p.Received()))
		require.ErrorIs(t, w.e.Err(), net.ErrClosed)
		w.endStepped()
	})
}

func TestShutdownAbortsWhenItsContextEnds(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		h := &drains{}
		p := w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		ctx, cancel := w.k.Clock().WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := w.k.Now()
		var err error
		w.beside("Shutdown", func() { err = w.e.Shutdown(ctx) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.GreaterOrEqual(t, w.k.Now()-begin, time.Second)
		require.Less(t, w.k.Now()-begin, 1100*time.Millisecond)
		require.ErrorIs(t, h.err, net.ErrClosed)
		w.steps("a reset", func() bool { return p.Err() != nil })
		w.endStepped()
	})
}

// blocked is a stepped engine one callback of which blocks until release is closed.
func blocked(t *testing.T, completions bool) (w *world, h *hooks, release chan struct{}) {
	w, _ = stepped(t, completions, simulated.Config{}, 2)
	release = make(chan struct{})
	blocks := make(chan struct{})
	h = &hooks{data: func(*session.Stream) {
		close(blocks)
		<-release
	}}
	p := w.peer(h, nil)
	w.steps("OnOpen", h.isOpen)
	p.Send([]byte("x"))
	go w.steps("a callback that blocks", func() bool { // the last Step returns when the callback does
		select {
		case <-blocks:
			return true
		default:
			return false
		}
	})
	<-blocks
	return w, h, release
}

func TestShutdownWithABlockedCallback(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, release := blocked(t, completions)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		result := make(chan error, 1)
		go func() { result <- w.e.Shutdown(ctx) }()
		synctest.Wait()
		require.Empty(t, result)
		w.k.Advance(90 * time.Millisecond)
		synctest.Wait()
		require.Len(t, result, 1)
		err := <-result
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, fmt.Sprintf("a callback of stream %d does not return", h.s.ID()))
		go func() { result <- w.e.Close() }()
		synctest.Wait()
		for range 3 {
			w.k.Advance(time.Second)
			synctest.Wait()
		}
		require.Len(t, result, 1)
		err = <-result
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "does not return")
		close(release)
		synctest.Wait()
		w.endStepped()
		require.Equal(t, 1, h.ended)
		require.ErrorIs(t, h.err, net.ErrClosed)
	})
}

// TestEndInCallback has callbacks end the engine, and wait for it, which they cannot.
func TestEndInCallback(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 2)
		asked := 0
		h := &hooks{}
		h.open = func(*session.Stream) {
			asked++
			require.ErrorIs(t, w.e.Shutdown(t.Context()), backend.ErrOnLoop)
			require.ErrorIs(t, w.e.Close(), backend.ErrOnLoop)
			_, err := w.e.Dial(t.Context(), "tcp", "127.0.0.1:1", h, nil)
			require.ErrorIs(t, err, backend.ErrOnLoop)
		}
		h.close = func(*session.Stream, error) {
			asked++
			_, err := w.e.Dial(t.Context(), "tcp", "127.0.0.1:1", h, nil)
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, err, backend.ErrOnLoop)
		}
		w.peer(h, nil)
		w.steps("OnOpen", h.isOpen)
		require.NoError(t, w.e.Err())
		w.endStepped()
		require.Equal(t, 2, asked)
		select {
		case <-w.e.Done():
		default:
			t.Error("Done is open")
		}
	})
}

func TestPollIsRefused(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, _ := stepped(t, completions, simulated.Config{}, 1)
		_, err := w.e.Poll(0)
		require.ErrorContains(t, err, "not CallerDriven")
		w.endStepped()

		w = newWorld(t, completions, simulated.Config{})
		h := &hooks{open: func(*session.Stream) {
			_, err := w.e.Poll(0)
			require.ErrorIs(t, err, backend.ErrOnLoop)
			require.ErrorIs(t, w.e.Close(), backend.ErrOnLoop)
		}}
		w.peer(h, nil)
		w.until("OnOpen", h.isOpen)
		_, err = w.e.Dial(t.Context(), "tcp", "127.0.0.1:1", h, nil)
		require.ErrorIs(t, err, backend.ErrOnLoop)
		other := make(chan error)
		go func() {
			_, err := w.e.Poll(0)
			other <- err
		}()
		require.ErrorContains(t, <-other, "this is another")
		w.end()
		_, err = w.e.Poll(0)
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, w.e.Close())
	})
}

// TestFailedDriverOfACaller has the driver of an engine fail that is polled.
func TestFailedDriverOfACaller(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		var d simulated.Driver
		w := driven(t, completions, simulated.Config{}, func(c *session.Config) { d = c.Drivers[0].(simulated.Driver) })
		h := &hooks{}
		w.peer(h, nil)
		w.until("OnOpen", h.isOpen)
		d.Fail()
		_, err := w.e.Poll(time.Second)
		require.ErrorIs(t, err, simulated.ErrFailed)
		require.ErrorIs(t, h.err, simulated.ErrFailed)
		require.ErrorIs(t, w.e.Err(), simulated.ErrFailed)
		_, err = w.e.Poll(0)
		require.Error(t, err)
		w.end()
	})
}

// polls polls an engine on another goroutine until that is refused.
func (w *world) polls() <-chan error {
	over := make(chan error, 1)
	go func() {
		for {
			if _, err := w.e.Poll(-1); err != nil {
				over <- err
				return
			}
		}
	}()
	return over
}

// passUntil lets the kernel's time pass until c has something.
func passUntil[T any](t *testing.T, w *world, what string, c <-chan T) (got T) {
	for range 10_000 {
		synctest.Wait()
		select {
		case got = <-c:
			return got
		default:
			w.k.Advance(time.Millisecond)
		}
	}
	require.Fail(t, "did not come: "+what)
	return got
}

// TestTakeOver has another goroutine end an engine that is being polled, in a sleep or by a goroutine that has gone.
func TestTakeOver(t *testing.T) {
	for _, gone := range []bool{false, true} {
		bubbles(t, func(t *testing.T, completions bool) {
			w := newWorld(t, completions, simulated.Config{})
			h := &hooks{}
			p := w.peer(h, nil)
			var polled <-chan error
			if gone {
				made := make(chan struct{})
				go func() {
					w.until("OnOpen", h.isOpen)
					close(made)
				}()
				<-made
			} else {
				polled = w.polls()
				synctest.Wait()
				require.True(t, h.opened)
			}
			closed := make(chan error, 1)
			go func() { closed <- w.e.Close() }()
			require.NoError(t, passUntil(t, w, "Close", closed))
			require.Equal(t, 1, h.ended)
			if !gone {
				require.ErrorIs(t, passUntil(t, w, "the end of Poll", polled), net.ErrClosed)
			}
			w.k.Advance(time.Second)
			require.True(t, p.EOF() || p.Err() != nil)
			require.Zero(t, w.k.OpenDescriptors())
		})
	}
}

// TestTakeOverWithABlockedCallback has Shutdown and Close give up, and the next Close succeed.
func TestTakeOverWithABlockedCallback(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		blocks, release := make(chan struct{}), make(chan struct{})
		h := &hooks{open: func(*session.Stream) {
			close(blocks)
			<-release
		}}
		w.peer(h, nil)
		polled := w.polls()
		<-blocks
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		result := make(chan error, 2)
		go func() { result <- w.e.Shutdown(ctx) }()
		err := passUntil(t, w, "Shutdown", result)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "a callback of stream 1 does not return")
		go func() { result <- w.e.Close() }()
		err = passUntil(t, w, "Close", result)
		require.ErrorIs(t, err, context.Canceled)
		close(release)
		for i := 0; ; i++ { // the clock may run ahead of the callback, which returns in its own time
			go func() { result <- w.e.Close() }()
			if err = passUntil(t, w, "Close", result); err == nil || i == 100 {
				break
			}
		}
		require.NoError(t, err)
		require.ErrorIs(t, passUntil(t, w, "the end of Poll", polled), net.ErrClosed)
		require.Equal(t, 1, h.ended)
		require.Zero(t, w.k.OpenDescriptors())
	})
}

// TestPoller has two layers share an engine: one turn a cycle is enough for both.
func TestPoller(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		w := newWorld(t, completions, simulated.Config{})
		h := &hooks{}
		l, err := w.e.Listen("tcp", "localhost:0", h, nil)
		require.NoError(t, err)
		_, err = w.k.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		one := session.ListenerPoller(l)
		require.True(t, one.CallerDriven())
		for range 1000 {
			_, err := one.Poll(time.Second)
			require.NoError(t, err)
		}
		require.True(t, h.opened)
		two := session.StreamPoller(h.s)
		turns := func() uint64 { return w.e.Stats().Turns }
		for range 3 {
			before := turns()
			_, err = one.Poll(0)
			require.NoError(t, err)
			require.Equal(t, before+1, turns())
			_, err = two.Poll(0)
			require.NoError(t, err)
			require.Equal(t, before+1, turns())
		}
		_, err = two.Poll(0) // the first of the next cycle
		require.NoError(t, err)
		_ = h.s.Post(func() {
			_, err = one.Poll(0)
			require.ErrorIs(t, err, backend.ErrOnLoop)
			err = nil
		})
		w.until("a refusal", func() bool { return err == nil })
		var none session.Poller
		n, err := none.Poll(-1)
		require.NoError(t, err)
		require.Zero(t, n)
		nobody := session.ListenerPoller(nil)
		require.False(t, nobody.CallerDriven())
		w.end()
	})
}

// TestPollerOfLoops has nothing to poll.
func TestPollerOfLoops(t *testing.T) {
	bubbles(t, func(t *testing.T, completions bool) {
		w, h, _ := detachPair(t, completions, simulated.Config{})
		p := session.StreamPoller(h.s)
		require.False(t, p.CallerDriven())
		n, err := p.Poll(-1)
		require.NoError(t, err)
		require.Zero(t, n)
		w.endStepped()
	})
}
