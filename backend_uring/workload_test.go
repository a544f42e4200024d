//go:build linux

package uring

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring/ringtest"
	"github.com/tandem-io/tandem/session"
)

// TestWorkload runs streams that do everything at once on emulated kernels that misbehave, and checks every byte. Each
// seed decides the kernel, the rung, the sizes of queues and buffers, and what each stream does.
//
//	TANDEM_SEED=7 go test -run TestWorkload ./backend_uring      that seed
//	TANDEM_SEEDS=1000 go test -run TestWorkload ./backend_uring  so many, from 1 or TANDEM_SEED on
//	TANDEM_FOR=30s go test -run TestWorkload ./backend_uring     as many as there is time for
func TestWorkload(t *testing.T) {
	first, n := number(t, "TANDEM_SEED", 1), number(t, "TANDEM_SEEDS", 0)
	limit, err := time.ParseDuration(cmp(os.Getenv("TANDEM_FOR"), "0s"))
	require.NoError(t, err, "TANDEM_FOR")
	switch {
	case n == 0 && limit > 0:
		n = 1 << 40
	case n == 0 && os.Getenv("TANDEM_SEED") != "":
		n = 1
	case n == 0:
		n = 20
	}
	for began, seed := time.Now(), first; seed < first+n && (limit == 0 || time.Since(began) < limit); seed++ {
		if !runWorkload(t, seed) {
			t.Fatalf("TANDEM_SEED=%d, the %d. seed, after %v", seed, seed-first+1, time.Since(began).Round(time.Millisecond))
		}
	}
}

func cmp(s, without string) string {
	if s == "" {
		return without
	}
	return s
}

func number(t *testing.T, variable string, without uint64) uint64 {
	s := os.Getenv(variable)
	if s == "" {
		return without
	}
	n, err := strconv.ParseUint(s, 10, 64)
	require.NoError(t, err, variable)
	return n
}

// world is what one seed runs.
type world struct {
	seed    uint64
	rand    *rand.Rand
	kernel  *ringtest.Kernel
	network string
	config  Config
	drivers []*counted
	engine  *session.Engine
	actors  []*actor
	storm   bool          // there are many streams, and their peers end all at once
	arrived atomic.Int32  // peers that are about to end
	open    chan struct{} // closed when all are

	stuck atomic.Bool // something has not ended: the drivers tell what they have

	mu       sync.Mutex // guards failures
	failures []string
}

// fail notes what went wrong. Any goroutine.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

// Errorf makes a world something to assert on.
func (w *world) Errorf(format string, args ...any) { w.fail(format, args...) }

func runWorkload(t *testing.T, seed uint64) bool {
	w := &world{seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), network: "tcp"}
	if w.rand.IntN(4) == 0 {
		w.network = "unix"
	}
	h := ringtest.Wild(seed)
	if w.rand.IntN(4) == 0 {
		h.AcceptFails = 100
	}
	w.kernel = ringtest.New(seed, h)
	w.config = []Config{
		{}, {Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}, {Entries: 8, CompletionEntries: 16, Buffers: 8, BufferSize: 512},
		{Entries: 16, CompletionEntries: 16, Buffers: 16, BufferSize: 2048},
	}[w.rand.IntN(4)]
	w.config.Rung, w.config.Kernel = rungNames()[w.rand.IntN(4)], w.kernel
	w.run(t)
	if len(w.failures) == 0 {
		return true
	}
	t.Errorf("%s\non %s with rung %s and %d, %d entries\n%v", strings.Join(w.failures, "\n"), w.network, w.config.Rung,
		w.config.Entries, w.config.CompletionEntries, w.kernel)
	return false
}

func (w *world) run(t *testing.T) {
	loops := 1 + w.rand.IntN(2)
	drivers, err := backend.MakeDrivers(loops, func() (backend.Driver, error) {
		d, err := New(w.config.withDefaults())
		if err != nil {
			return nil, err
		}
		c := &counted{Driver: d, world: w}
		w.drivers = append(w.drivers, c)
		return c, nil
	})
	require.NoError(t, err)
	n := 3 + w.rand.IntN(10)
	if w.storm = w.config.Entries > 0 && w.rand.IntN(3) == 0; w.storm {
		n = 40
	}
	w.open = make(chan struct{})
	for i := range n {
		w.actors = append(w.actors, newActor(w, i, newPlan(w)))
	}
	w.engine, err = session.New(session.Config{Drivers: drivers, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	l, err := w.engine.Listen(w.network, w.address(t), (*greeter)(w), &session.ListenOptions{
		MaxConns: []int{0, 100}[w.rand.IntN(2)], StreamOptions: w.streamOptions(),
	})
	require.NoError(t, err)
	for _, a := range w.actors {
		if a.i%4 == 3 {
			w.dial(t, a)
		} else {
			c, err := net.Dial(w.network, l.Addr().String())
			require.NoError(t, err)
			a.peer(c)
		}
	}
	w.closeWhileAccepting(t)
	w.await()
	closed := make(chan error, 1)
	go func() { closed <- w.engine.Close() }()
	select {
	case err := <-closed:
		assert.NoError(w, err, "close the engine")
	case <-time.After(patience):
		w.fail("the engine does not close")
	}
	for _, f := range w.kernel.Faults() {
		w.fail("%s", f)
	}
}

// gate holds a peer in a storm until all others are about to end, too.
func (w *world) gate(a *actor) {
	if !w.storm {
		return
	}
	if int(w.arrived.Add(1)) == len(w.actors) {
		close(w.open)
	}
	if !endsBefore(w.open, time.Now().Add(patience)) {
		w.fail("%d of %d peers have come as far as stream %d's", w.arrived.Load(), len(w.actors), a.i)
	}
}

// closer is a Handler that closes every stream.
type closer struct{ session.BaseHandler }

// OnOpen implements session.Handler.
func (closer) OnOpen(s *session.Stream) { _ = s.Close() }

// closeWhileAccepting closes a listener while connections come. All of them have to end. Each sends a byte: of a TCP
// connection whose handshake ends as its listener closes the kernel may forget one end and tell the other only when that
// sends something, whoever listens; 20 of 11,000 connections to a listener of package net on Linux 6.18.
func (w *world) closeWhileAccepting(t *testing.T) {
	l, err := w.engine.Listen(w.network, w.address(t), closer{}, &session.ListenOptions{MaxConns: []int{0, 100}[w.rand.IntN(2)]})
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c, err := net.Dial(w.network, l.Addr().String())
			if err != nil {
				return // it is closed already
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = c.Write([]byte("?")) // fails only if it has ended
			_, err = c.Read(make([]byte, 1))
			assert.NotErrorIs(w, err, os.ErrDeadlineExceeded, "a connection that came while the listener was closed")
		})
	}
	time.Sleep(time.Duration(w.rand.IntN(500)) * time.Microsecond)
	assert.NoError(w, l.Close(), "close a listener")
	all.Wait()
}

// await waits until everything that streams and peers do has ended.
func (w *world) await() {
	deadline := time.Now().Add(patience)
	for _, a := range w.actors {
		for what, done := range map[string]chan struct{}{
			"the stream": a.closed, "the peer's reader": a.peerRead, "the peer's writer": a.peerWrote, "the detached connection": a.detached,
		} {
			if !endsBefore(done, deadline) {
				w.fail("%s of %v has not ended", what, a)
				w.describe()
			}
		}
	}
}

// describe has the drivers tell what they have, once.
func (w *world) describe() {
	if !w.stuck.Swap(true) {
		for _, d := range w.drivers {
			d.Wake()
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func endsBefore(done chan struct{}, deadline time.Time) bool {
	select {
	case <-done:
		return true
	default:
	}
	select {
	case <-done:
		return true
	case <-time.After(time.Until(deadline)):
		return false
	}
}

func (w *world) address(t *testing.T) string {
	if w.network == "unix" {
		return filepath.Join(t.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// dial makes a stream that dials, and its peer.
func (w *world) dial(t *testing.T, a *actor) {
	l, err := net.Listen(w.network, w.address(t))
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		assert.NoError(w, err)
		accepted <- c
	}()
	_, err = w.engine.Dial(ctx, w.network, l.Addr().String(), a, &session.DialOptions{StreamOptions: w.streamOptions()})
	require.NoError(t, err, "seed %d", w.seed)
	a.peer(<-accepted)
}

func (w *world) streamOptions() session.StreamOptions {
	return session.StreamOptions{
		AllowHalfClose: true, ReadWhileBlocked: true,
		ReadBufferLimit: []int{0, 300, 5000}[w.rand.IntN(3)],
		TurnBudget:      []int{0, 100, 4000}[w.rand.IntN(3)],
		HighWater:       []int{0, 1000}[w.rand.IntN(2)],
	}
}

// counted is a driver whose requests and buffers are counted after every Poll.
type counted struct {
	*Driver
	world             *world
	failed, described bool
}

func (c *counted) describe() {
	c.world.fail("%s", c.world.kernel.Describe(c.ring.FD()))
	c.All(func(s *backend.Socket) {
		c.world.fail("  socket with descriptor %d and id %#x: state %#x, %d in flight", s.FD(), uint64(s.ID), s.State, s.InFlight)
	})
	c.world.fail("  %d buffers free, %d sockets in line, %d polls in line", c.buffers.free, c.Outstanding().Starved, c.repolls.len())
}

// Poll implements backend.Driver.
func (c *counted) Poll(wait time.Duration) (int, error) {
	n, err := c.Driver.Poll(wait)
	if !c.failed {
		c.check()
	}
	if c.world.stuck.Load() && !c.described {
		c.described = true
		c.describe()
	}
	return n, err
}

func (c *counted) check() {
	if c.Keep() != nil {
		c.failed = true
		c.world.fail("a buffer is on loan when its delivery is over")
	}
	sum := c.waker.requests + c.flush.out
	c.All(func(s *backend.Socket) {
		sum += int(s.InFlight)
		if n := inFlight(s); n != int(s.InFlight) {
			c.failed = true
			c.world.fail("%d requests of a socket are counted, and %d are in flight: state %#x", s.InFlight, n, s.State)
		}
	})
	if sum != c.requests {
		c.failed = true
		c.world.fail("%d requests are counted, and %d are in flight", c.requests, sum)
	}
	if c.Outstanding() == (backend.Outstanding{}) && sum == c.waker.requests && c.later.empty() && c.ring.Ready() == 0 && !c.buffers.waiting.Load() {
		c.checkBuffers()
	}
}

// checkBuffers fails the test if a buffer is lost. Nothing is in flight, and nobody has one.
func (c *counted) checkBuffers() {
	b := c.buffers
	all := b.free
	for _, ids := range b.retiredIDs {
		all += len(ids)
	}
	if b.live == len(b.slabs) && all != len(b.slabs)*b.perSlab {
		c.failed = true
		c.world.fail("%d of %d buffers are there when nobody has any", all, len(b.slabs)*b.perSlab)
	}
}

// Close implements backend.Driver.
func (c *counted) Close() error {
	d := c.Driver
	clean := d.err == nil && d.thread == unix.Gettid()
	err := d.Close()
	if clean && d.requests != 0 {
		c.world.fail("%d requests are in flight after Close", d.requests)
	}
	return err
}

// pattern has the bytes that go over the streams: every short piece occurs once.
var pattern = func() []byte {
	p := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}()

func bytesOf(i, direction, n int) []byte {
	at := (i*7919 + direction*104729) % (len(pattern) / 2)
	return pattern[at : at+n]
}
