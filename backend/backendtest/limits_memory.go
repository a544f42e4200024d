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
	reads   atomic.Bool
	h       *Hooks
	streams []*session.Stream
	peers   []Peer
	mu      sync.Mutex // guards got
	got     map[*session.Stream][]byte
}

func (e *Env) hoard(t *session.Engine, n int, o session.StreamOptions) *hoard {
	e.Helper()
	x := &hoard{e: e, h: NewHooks(), got: map[*session.Stream][]byte{}}
	x.h.Data = func(s *session.Stream) {
		if x.reads.Load() {
			x.read(s)
		}
	}
	for range n {
		s, p := e.PairOn(t, x.h, o)
		x.streams, x.peers = append(x.streams, s), append(x.peers, p)
	}
	return x
}

func (x *hoard) read(s *session.Stream) {
	p, _ := s.Next(-1)
	x.mu.Lock()
	x.got[s] = append(x.got[s], p...)
	x.mu.Unlock()
}

// held is how much each stream holds, and the sum.
func (x *hoard) held() (each []int, sum int) {
	x.e.Helper()
	for _, s := range x.streams {
		n := x.e.buffered(s)
		each, sum = append(each, n), sum+n
	}
	return each, sum
}

// settled waits until the streams take nothing any longer, and returns what they hold.
func (x *hoard) settled() (each []int, sum int) {
	x.e.Helper()
	before := -1
	x.e.Eventually(func() bool {
		time.Sleep(moment) // between two looks
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
		x.e.onLoop(s, func() { x.read(s) })
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
	t := e.Open(func(o *Options) { o.MemoryLimit = limit })
	x := e.hoard(t, n, session.StreamOptions{ReadBufferLimit: 4 << 20})
	var writers sync.WaitGroup
	for _, p := range x.peers {
		writers.Go(func() { e.writeAll(p, want) })
	}
	each, sum := x.settled()
	assert.LessOrEqual(e, sum, limit+n*overshoot, "bytes that are held, with a limit of %d: %v", limit, each)
	assert.GreaterOrEqual(e, sum, limit/2, "bytes that are held")
	_, p := e.PairOn(t, echo(), session.StreamOptions{}) // it holds nothing
	for range 3 {
		e.pingPong(p)
	}
	big := NewHooks()
	_, p = e.PairOn(t, big, session.StreamOptions{}) // nor does this one, although more comes than is left
	e.writeAll(p, want)
	e.Eventually(func() bool { return big.Len() == len(want) }, "all bytes of a stream that reads at once")
	big.gotAll(want)
	x.release(want)
	writers.Wait()
}

// memoryLimitLargest has one stream that holds most, and others that hold little.
func memoryLimitLargest(e *Env) {
	const limit = 2 << 20
	t := e.Open(func(o *Options) { o.MemoryLimit = limit })
	greedy := e.hoard(t, 1, session.StreamOptions{ReadBufferLimit: 8 << 20})
	want := Pattern(4 << 20)
	wrote := make(chan struct{})
	go func() { defer close(wrote); e.writeAll(greedy.peers[0], want) }()
	_, sum := greedy.settled()
	assert.LessOrEqual(e, sum, limit/2+overshoot, "bytes that one stream holds")
	small := e.hoard(t, 4, session.StreamOptions{})
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

// memoryLimitForEver has some streams keep all they can, for good. Others get their messages all the same.
func memoryLimitForEver(e *Env) {
	const limit, n, size, messages = 1 << 20, 6, 5000, 400
	t := e.Open(func(o *Options) { o.MemoryLimit = limit })
	keep := e.hoard(t, 20, session.StreamOptions{})
	for _, p := range keep.peers {
		e.writeAll(p, Pattern(60_000))
	}
	keep.settled()
	var got atomic.Int64
	codec := frame.U64{}
	h := session.Frames(codec, func(_ *session.Stream, m []byte) {
		if bytes.Equal(m, Pattern(size)) {
			got.Add(1)
		}
	})
	message, err := codec.Append(nil, Pattern(size))
	require.NoError(e, err)
	var writers sync.WaitGroup
	for range n {
		p := e.connectBeside(t, keep.streams[0], h, session.StreamOptions{})
		writers.Go(func() {
			for i := range messages {
				half := i * 7 % len(message)
				for _, part := range [][]byte{message[:half], message[half:]} {
					if _, err := p.Write(part); err != nil {
						e.Errorf("write of message %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	e.Eventually(func() bool { return got.Load() == n*messages }, "all messages beside streams that keep all there is")
	writers.Wait()
	keep.release(Pattern(60_000))
}

// stuckHandler leaves unread what has reached the limit, for good or not.
func stuckHandler(e *Env) {
	const limit = 10_000
	t, log := e.openLogging(nil)
	o := session.StreamOptions{ReadBufferLimit: limit}
	begin := func(h *Hooks) (*session.Stream, Peer) {
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
	paused.Data = func(s *session.Stream) { s.PauseRead() }
	begin(paused)

	message := session.Frames(frame.U64{}, func(*session.Stream, []byte) {}) // waits for the rest of a long one
	half, err := frame.U64{}.Append(nil, Pattern(5*limit))
	require.NoError(e, err)
	scout, _ := e.PairOn(t, NewHooks(), o)
	_, err = e.connectBeside(t, scout, message, o).Write(half[:4*limit])
	require.NoError(e, err)

	e.Eventually(func() bool { return strings.Contains(log.String(), "level=WARN") }, "a message about a handler that is stuck")
	for _, says := range []string{fmt.Sprintf("stream=%d ", stuck.ID()), fmt.Sprintf("limit=%d", limit), "unread="} {
		assert.Contains(e, log.String(), says)
	}
	time.Sleep(1200 * time.Millisecond) // longer than a stream may stand before that is logged
	assert.Equal(e, 1, strings.Count(log.String(), "level=WARN"), "messages: %s", log)
}
