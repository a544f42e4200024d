package backendtest

import (
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// loadRules are about what many streams, or streams that are stuck, cost others.
var loadRules = []Rule{
	{"S05_ResetAfterOverflow", resetAfterOverflow},
	{"S06_ManySenders", manySenders},
	{"S33_QuietBesideBulk", quietBesideBulk},
	{"S39_CloseWithIdle", closeWithIdle},
	{"S40_HalfClosedPeer", halfClosedPeer},
	{"S40_SlowDownload", slowDownload},
	{"S40_ErrorQueue", errorQueue},
}

// loaded opens a Transport of one loop with a listener on it.
func (e *Env) loaded(h *Hooks, change func(*Options)) (*session.Engine, net.Addr) {
	e.Helper()
	t := e.Open(func(o *Options) {
		o.Loops = 1
		if change != nil {
			change(o)
		}
	})
	return t, e.listenWith(t, h, nil)
}

func (e *Env) listenWith(t *session.Engine, h *Hooks, o *session.ListenOptions) net.Addr {
	e.Helper()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, o)
	require.NoError(e, err, "listen")
	e.Cleanup(func() { _ = l.Close() })
	return l.Addr()
}

// many connects n plain peers.
func (e *Env) many(n int, to net.Addr) (all []net.Conn) {
	e.Helper()
	for range n {
		c, err := net.DialTimeout(to.Network(), to.String(), patience)
		require.NoError(e, err)
		_ = c.SetDeadline(time.Now().Add(patience))
		e.Cleanup(func() { _ = c.Close() })
		all = append(all, c)
	}
	return all
}

// hold keeps a loop busy until the function that it returns is called.
func hold(s *session.Stream) (release func()) {
	held, over := make(chan struct{}), make(chan struct{})
	_ = s.Post(func() { close(held); <-over })
	<-held
	return sync.OnceFunc(func() { close(over) })
}

// resetAfterOverflow has a small queue of events overflow while peers half-close. Paused streams, and streams that have
// seen the end, learn of a reset that comes later.
func resetAfterOverflow(e *Env) {
	if e.Network != "tcp" || e.Dialled || e.Peers != nil {
		return // a Unix socket has no reset
	}
	const n = 40
	for _, paused := range []bool{false, true} {
		h := NewHooks()
		if paused {
			h.Open = (*session.Stream).PauseRead
		}
		t, to := e.loaded(h, func(o *Options) {
			o.Stream.AllowHalfClose = true
			o.Queue = 4
		})
		peers := e.many(n, to)
		release := func() {}
		for i, c := range peers {
			s := h.Opened()
			_, err := c.Write([]byte("some bytes"))
			require.NoError(e, err)
			if i == n-1 {
				time.Sleep(moment)
				release = hold(s)
			}
		}
		for _, c := range peers {
			require.NoError(e, c.(*net.TCPConn).CloseWrite())
		}
		time.Sleep(moment)
		release()
		time.Sleep(2 * moment)
		for _, c := range peers {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
		e.Eventually(func() bool { return t.Stats().Closed == n }, "all of %d streams learn of the reset, paused: %v", n, paused)
	}
}

// manySenders has peers send without end to streams that read nothing: each holds its limit and 256 KiB at most.
func manySenders(e *Env) {
	if !e.once() {
		return
	}
	const n, limit = 100, 64 << 10
	h := NewHooks()
	var most atomic.Int64
	h.Data = func(s *session.Stream) { most.Store(max(most.Load(), int64(s.Buffered()))) }
	t := e.Open(func(o *Options) { o.Loops, o.Stream.ReadBufferLimit = 1, limit })
	to := e.listenWith(t, h, nil)
	var writers sync.WaitGroup
	peers := e.many(n, to)
	for _, c := range peers {
		writers.Go(func() { _, _ = c.Write(pattern()[:4<<20]) })
	}
	e.Eventually(func() bool { return t.Stats().BytesIn >= n*limit }, "%d streams have %d bytes each", n, limit)
	time.Sleep(3 * moment)
	for _, c := range peers {
		_ = c.SetDeadline(time.Now())
	}
	writers.Wait()
	assert.GreaterOrEqual(e, most.Load(), int64(limit))
	assert.LessOrEqual(e, most.Load()>>10, int64(limit+256<<10)>>10, "KiB that one stream has held")
	assert.LessOrEqual(e, t.Stats().BytesIn, uint64(n*(limit+256<<10)), "bytes received")
}

// quietBesideBulk has a stream echo beside others that always have more: in the time that takes half of its echoes, the
// others get at most a turn's budget each.
func quietBesideBulk(e *Env) {
	if !e.once() || e.Tiny {
		return
	}
	const n = 200
	t, to := e.loaded(echo(), nil)
	probe := e.many(1, to)[0]
	var busy sync.WaitGroup
	peers := e.many(n, to)
	for _, c := range peers {
		busy.Go(func() { _, _ = io.Copy(io.Discard, c) })
		busy.Go(func() {
			for err := error(nil); err == nil; {
				_, err = c.Write(pattern()[:64<<10])
			}
		})
	}
	time.Sleep(2 * moment)
	var between []uint64
	for end := time.Now().Add(20 * moment); time.Now().Before(end) || len(between) < 5; {
		before := t.Stats().BytesIn
		_, err := probe.Write([]byte("x"))
		require.NoError(e, err)
		_, err = io.ReadFull(probe, make([]byte, 1))
		require.NoError(e, err)
		between = append(between, t.Stats().BytesIn-before)
	}
	for _, c := range peers {
		_ = c.Close()
	}
	busy.Wait()
	slices.Sort(between)
	assert.LessOrEqual(e, between[len(between)/2]>>10, uint64(n*256), "KiB of the others while the quiet stream waits for its echo")
}
