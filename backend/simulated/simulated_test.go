package simulated_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// echo answers, and keeps how its streams have ended.
type echo struct {
	session.BaseHandler
	s              *session.Stream // the last one
	opened, closed int
	errs           []error
}

func (h *echo) OnOpen(s *session.Stream) {
	h.s = s
	h.opened++
}

func (h *echo) OnData(s *session.Stream) {
	p, _ := s.Next(s.Buffered())
	_, _ = s.Write(p)
}

func (h *echo) OnClose(_ *session.Stream, err error) {
	h.closed++
	h.errs = append(h.errs, err)
}

// world is an engine on a simulated kernel, which the test polls or steps.
type world struct {
	t testing.TB
	k *simulated.Kernel
	e *session.Engine
}

func newWorld(t testing.TB, completions bool, c simulated.Config) *world {
	return driven(t, completions, c, nil)
}

// driven is an engine that the test polls. change may change what it is made of.
func driven(t testing.TB, completions bool, c simulated.Config, change func(*session.Config)) *world {
	k := simulated.New(c)
	e, err := session.New(engineConfig(t, k, k.Drivers(1, completions), func(c *session.Config) {
		c.CallerDriven = true
		if change != nil {
			change(c)
		}
	}))
	require.NoError(t, err)
	return &world{t, k, e}
}

func engineConfig(t testing.TB, k *simulated.Kernel, drivers []backend.Driver, change func(*session.Config)) session.Config {
	opts, err := (&session.StreamOptions{}).Complete()
	require.NoError(t, err)
	c := session.Config{Drivers: drivers, Logger: slog.New(slog.DiscardHandler), Clock: k.Clock(), Stream: *opts}
	if change != nil {
		change(&c)
	}
	return c
}

// until polls until cond holds.
func (w *world) until(what string, cond func() bool) {
	for range 100_000 {
		if cond() {
			return
		}
		_, err := w.e.Poll(time.Second)
		require.NoError(w.t, err)
	}
	require.Fail(w.t, "did not come: "+what)
}

func kinds(t *testing.T, run func(t *testing.T, completions bool)) {
	t.Run("readiness", func(t *testing.T) { run(t, false) })
	t.Run("completions", func(t *testing.T) { run(t, true) })
}

func TestEcho(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for seed := range uint64(10) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				w := newWorld(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough()})
				h := &echo{}
				message := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
				for _, p := range w.senders(5, w.serve(h, nil), message) {
					w.until("the end of an echo", p.EOF)
					require.True(t, bytes.Equal(message, p.Received()))
					require.NoError(t, p.Err())
				}
				w.until("all ends", func() bool { return h.closed == 5 })
				require.Equal(t, 5, h.opened)
				w.end()
			})
		}
	})
}

// TestNastyKernel has everything go wrong: whatever a peer got is the beginning of what it should have got, every
// stream that opened has closed, and nothing is left.
func TestNastyKernel(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		for seed := range uint64(50) {
			runNasty(t, completions, seed)
		}
	})
}

// runNasty returns the digest of a run.
func runNasty(t *testing.T, completions bool, seed uint64) uint64 {
	w := newWorld(t, completions, simulated.Config{Seed: seed, Faults: simulated.Nasty()})
	h := &echo{}
	w.k.SetFaults(simulated.Faults{})
	address := w.serve(h, nil)
	w.k.SetFaults(simulated.Nasty())
	message := bytes.Repeat([]byte("0123456789abcdef"), 2_000)
	for _, p := range w.senders(20, address, message) {
		w.until("the end of an echo", func() bool { return p.EOF() || p.Err() != nil })
		require.True(t, bytes.HasPrefix(message, p.Received()))
	}
	w.until("all ends", func() bool { return h.closed == h.opened })
	digest := w.k.Digest()
	w.end()
	require.Equal(t, h.opened, h.closed)
	return digest
}

func TestSameSeedSameRun(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		one := runNasty(t, completions, 7)
		require.Equal(t, one, runNasty(t, completions, 7))
		require.NotEqual(t, one, runNasty(t, completions, 8))
	})
}

// BenchmarkMillionEvents has a million things happen.
func BenchmarkMillionEvents(b *testing.B) {
	for _, completions := range []bool{false, true} {
		b.Run(fmt.Sprintf("completions=%v", completions), func(b *testing.B) {
			for b.Loop() {
				var events uint64
				for seed := uint64(0); events < 1_000_000; seed++ {
					events += flood(b, completions, seed)
				}
			}
		})
	}
}

// flood has twenty peers send much through small buffers, and returns how many things have happened.
func flood(t testing.TB, completions bool, seed uint64) uint64 {
	w := newWorld(t, completions, simulated.Config{Seed: seed, Faults: simulated.Rough(), SendBuffer: 2000, ReceiveBuffer: 2000})
	h := &echo{}
	for _, p := range w.senders(20, w.serve(h, nil), make([]byte, 100_000)) {
		p.Discard()
	}
	w.until("all ends", func() bool { return h.closed == 20 })
	defer func() { require.NoError(t, w.e.Close()) }()
	return w.k.Events()
}
