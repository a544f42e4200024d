package backendtest

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// The rules on the memory that all streams hold, and on handlers that wait for more than they may hold.
var memoryRules = []Rule{
	{"S06_MemoryLimit", memoryLimit},
	{"S06_MemoryLimitLargestFirst", memoryLimitLargest},
	{"S06_MemoryLimitForEver", memoryLimitForEver},
	{"S06_StuckHandler", stuckHandler},
}

// hoard are streams that keep what comes until they are told to read.
type hoard struct {
	e       *Env
	halves  bool // half of what there is is read at once
	reads   atomic.Bool
	h       *Hooks
	streams []*tandem.Stream
	peers   []Peer
	mu      sync.Mutex // guards got
	got     map[*tandem.Stream][]byte
}

func (e *Env) hoard(t tandem.Transport, n int, o tandem.StreamOptions, halves bool) *hoard {
	e.Helper()
	x := &hoard{e: e, halves: halves, h: NewHooks(), got: map[*tandem.Stream][]byte{}}
	x.h.Data = func(s *tandem.Stream) {
		if x.reads.Load() {
			x.read(s, -1)
		} else if x.halves {
			x.read(s, (s.Buffered()+1)/2)
		}
	}
	for range n {
		s, p := e.PairOn(t, x.h, o)
		x.streams, x.peers = append(x.streams, s), append(x.peers, p)
	}
	return x
}

func (x *hoard) read(s *tandem.Stream, n int) {
	p, _ := s.Next(n)
	x.mu.Lock()
	x.got[s] = append(x.got[s], p...)
	x.mu.Unlock()
}

// held is how much each stream holds, and the sum.
func (x *hoard) held() (each []int, sum int) {
	x.e.Helper()
	for _, s := range x.streams {
		n := 0
		x.e.onLoop(s, func() { n = s.Buffered() })
		each, sum = append(each, n), sum+n
	}
	return each, sum
}

// settled waits until the streams take nothing any longer, and returns what they hold.
func (x *hoard) settled() (each []int, sum int) {
	x.e.Helper()
	before := -1
	x.e.Eventually(func() bool {
		time.Sleep(moment)
		each, sum = x.held()
		same := sum == before
		before = sum
		return same
	}, "streams that take no more")
	return each, sum
}

// release has the streams read, and checks what reaches each.
func (x *hoard) release(want []byte) {
	x.e.Helper()
	x.reads.Store(true)
	for _, s := range x.streams {
		x.e.onLoop(s, func() { x.read(s, -1) })
	}
	for i, s := range x.streams {
		x.e.Eventually(func() bool { x.mu.Lock(); defer x.mu.Unlock(); return len(x.got[s]) >= len(want) }, "the bytes of stream %d", i)
		x.mu.Lock()
		assert.True(x.e, bytes.Equal(want, x.got[s]), "the bytes of stream %d differ", i)
		x.mu.Unlock()
	}
}

// overshoot is what a stream may hold beyond its limits: what the kernel had handed over already.
const overshoot = 256 << 10

// memoryLimit has many peers send more than all streams together may hold.
func memoryLimit(e *Env) {
	const limit, n = 2 << 20, 16
	want := Pattern(1 << 20)
	t := e.Open(func(o *tandem.Options) { o.MemoryLimit = limit })
	x := e.hoard(t, n, tandem.StreamOptions{ReadBufferLimit: 4 << 20}, false)
	var writers sync.WaitGroup
	for _, p := range x.peers {
		writers.Go(func() { e.writeAll(p, want) })
	}
	each, sum := x.settled()
	assert.LessOrEqual(e, sum, limit+n*overshoot, "bytes that are held, with a limit of %d: %v", limit, each)
	assert.GreaterOrEqual(e, sum, limit/2, "bytes that are held")
	_, p := e.PairOn(t, echo(), tandem.StreamOptions{}) // it holds nothing
	for range 3 {
		e.pingPong(p)
	}
	big := NewHooks()
	_, p = e.PairOn(t, big, tandem.StreamOptions{}) // nor does this one, although more comes than is left
	e.writeAll(p, want)
	e.Eventually(func() bool { return big.Len() == len(want) }, "all bytes of a stream that reads at once")
	big.gotAll(want)
	x.release(want)
	writers.Wait()
}

// memoryLimitLargest has one stream that holds most, and others that hold little.
func memoryLimitLargest(e *Env) {
	const limit = 2 << 20
	t := e.Open(func(o *tandem.Options) { o.MemoryLimit = limit })
	greedy := e.hoard(t, 1, tandem.StreamOptions{ReadBufferLimit: 8 << 20}, false)
	want := Pattern(4 << 20)
	wrote := make(chan struct{})
	go func() { defer close(wrote); e.writeAll(greedy.peers[0], want) }()
	_, sum := greedy.settled()
	assert.LessOrEqual(e, sum, limit/2+overshoot, "bytes that one stream holds")
	small := e.hoard(t, 4, tandem.StreamOptions{}, false)
	for _, p := range small.peers {
		e.writeAll(p, want[:40_000])
	}
	e.Eventually(func() bool { _, sum := small.held(); return sum == 4*40_000 }, "what streams hold that hold little")
	require.NoError(e, small.streams[0].Abort()) // what it held is free
	small.h.closedWith(net.ErrClosed)
	small.streams = small.streams[1:]
	small.release(want[:40_000])
	greedy.release(want)
	require.True(e, await(wrote))
}

// memoryLimitForEver has streams stop and go on over and over.
func memoryLimitForEver(e *Env) {
	const limit, n = 100_000, 8
	want := Pattern(1 << 20)
	t := e.Open(func(o *tandem.Options) { o.MemoryLimit = limit })
	x := e.hoard(t, n, tandem.StreamOptions{}, true) // so there is always something held
	var writers sync.WaitGroup
	for _, p := range x.peers {
		writers.Go(func() { e.writeAll(p, want) })
	}
	e.Eventually(func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		for _, s := range x.streams {
			if len(x.got[s]) < len(want)-20_000-overshoot {
				return false
			}
		}
		return true
	}, "most bytes of all streams")
	x.release(want)
	writers.Wait()
}

// stuckHandler leaves unread what has reached the limit, for good or not.
func stuckHandler(e *Env) {
	const limit = 10_000
	t, log := e.openLogging(nil)
	o := tandem.StreamOptions{ReadBufferLimit: limit}
	begin := func(h *Hooks) (*tandem.Stream, Peer) {
		s, p := e.PairOn(t, h, o)
		go func() { _, _ = p.Write(Pattern(1 << 20)) }()
		return s, p
	}
	leaves := NewHooks()
	leaves.Data = nothing
	stuck, _ := begin(leaves)

	paced := NewHooks() // reads a little from time to time
	paced.Data = nothing
	s, _ := begin(paced)
	s.Every(20*time.Millisecond, func() { _, _ = s.Discard(100) })

	paused := NewHooks()
	paused.Data = func(s *tandem.Stream) { s.PauseRead() }
	begin(paused)

	message := session.Frames(frame.U64{}, func(*tandem.Stream, []byte) {}) // waits for the rest of a long one
	half, err := frame.U64{}.Append(nil, Pattern(5*limit))
	require.NoError(e, err)
	scout, _ := e.PairOn(t, NewHooks(), o)
	_, err = e.connectBeside(t, scout, message, o).Write(half[:4*limit])
	require.NoError(e, err)

	e.Eventually(func() bool { return strings.Contains(log.String(), "level=WARN") }, "a message about a handler that is stuck")
	for _, says := range []string{fmt.Sprintf("stream=%d ", stuck.ID()), fmt.Sprintf("limit=%d", limit), "unread=1"} {
		assert.Contains(e, log.String(), says)
	}
	time.Sleep(1200 * time.Millisecond)
	assert.Equal(e, 1, strings.Count(log.String(), "level="), "messages: %s", log)
}
