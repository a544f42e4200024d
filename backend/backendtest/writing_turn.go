package backendtest

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// oneLoop opens a Transport with one loop, on which all streams meet.
func (e *Env) oneLoop() *session.Engine {
	return e.Open(func(o *Options) { o.Loops = 1 })
}

// sends waits until the Transport has counted n sends since before, and checks that there are no more.
func (e *Env) sends(t *session.Engine, before uint64, n int, what string) {
	e.Helper()
	e.Eventually(func() bool { return t.Stats().Writes-before >= uint64(n) }, "%d sends for %s", n, what)
	time.Sleep(moment)
	got := t.Stats().Writes - before
	assert.Equal(e, uint64(n), got, "sends that %s took", what)
}

// oneSendATurn writes many times in each kind of callback. All of it goes out in one send for each stream and turn.
func oneSendATurn(e *Env) {
	t := e.oneLoop()
	quiet := NewHooks()
	other, q := e.PairOn(t, quiet, session.StreamOptions{})
	many := func(s *session.Stream) {
		for i := range 50 {
			_, err := s.Write(Pattern(5))
			assert.NoError(e, err)
			_, err = other.Writev(net.Buffers{{byte(i)}, {2, 3, 4, 5}})
			assert.NoError(e, err)
		}
	}
	h := NewHooks()
	h.Open = many
	h.Data = func(s *session.Stream) {
		if n, _ := s.Discard(-1); n > 0 {
			many(s)
		}
	}
	h.EOF = many
	before := t.Stats().Writes
	s, p := e.PairOn(t, h, session.StreamOptions{AllowHalfClose: true})
	for _, c := range []struct {
		what  string
		start func()
	}{
		{"OnOpen", func() {}},
		{"OnData", func() { _, err := p.Write([]byte("x")); require.NoError(e, err, "write") }},
		{"a timer", func() { s.After(time.Millisecond, func() { many(s) }) }},
		{"Post", func() { require.NoError(e, s.Post(func() { many(s) }), "post") }},
		{"a notification", func() {
			before++ // of the notification's own bytes
			require.NoError(e, s.WriteNotify([]byte("12345"), func(error) { many(s) }), "write")
			e.ReadAll(p, 5)
		}},
		{"OnEOF", func() { require.NoError(e, p.CloseWrite(), "close for writing") }},
	} {
		c.start()
		e.ReadAll(p, 250)
		e.ReadAll(q, 250)
		e.sends(t, before, 2, "50 writes to each of two streams in "+c.what)
		before = t.Stats().Writes
	}
}

// earlierThanTheTurn has a callback wait until the peer has what it wrote.
func earlierThanTheTurn(e *Env) {
	many := Pattern(64 << 10)
	for what, write := range map[string]func(s *session.Stream) (int, error){
		"Flush": func(s *session.Stream) (int, error) {
			_, err := s.Write(many[:100])
			if err == nil {
				err = s.Flush()
			}
			return 100, err
		},
		"64 KiB": func(s *session.Stream) (int, error) {
			for i := range 64 {
				if _, err := s.Write(many[i<<10 : (i+1)<<10]); err != nil {
					return 0, err
				}
			}
			return 1, nil // the first of them, at least
		},
	} {
		e.Scenario(what, func() {
			s, p := e.Pair(NewHooks(), session.StreamOptions{})
			read := make(chan struct{})
			n := make(chan int, 1)
			var failure atomic.Pointer[error]
			require.NoError(e, s.Post(func() {
				k, err := write(s)
				if n <- k; err == nil && !await(read) {
					err = fmt.Errorf("what %s should send is not sent before the callback returns", what)
				}
				if err != nil {
					failure.Store(&err)
				}
				_, endErr := s.Write([]byte("end"))
				assert.NoError(e, endErr)
			}), "post")
			e.ReadAll(p, <-n)
			close(read)
			r := readOn(p)
			e.Eventually(func() bool { return r.len() >= 3 }, "the rest")
			e.onLoop(s, func() {})
			if err := failure.Load(); err != nil {
				assert.NoError(e, *err)
			}
			require.NoError(e, s.Close(), "close")
			got, _ := r.all(e)
			assert.True(e, bytes.HasSuffix(got, []byte("end")), "the last bytes are missing")
		})
	}
}

// directWrites keeps the loop busy, so that only the writer itself can have sent.
func directWrites(e *Env) {
	t := e.oneLoop()
	busy, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	h := NewHooks()
	var memory *session.Buffer
	taken := make(chan struct{})
	h.Data = func(s *session.Stream) {
		if s.Buffered() == 500 {
			memory, _ = s.Take(500)
			close(taken)
		}
	}
	s, p := e.PairOn(t, h, session.StreamOptions{})
	want := Pattern(2000)
	_, err := p.Write(want[1000:1500])
	require.NoError(e, err, "write")
	require.True(e, await(taken), "no data")
	before := t.Stats()
	block, blocked := make(chan struct{}), make(chan struct{})
	require.NoError(e, busy.Post(func() { close(blocked); <-block }), "post")
	<-blocked
	unblock := sync.OnceFunc(func() { close(block) })
	e.Cleanup(unblock)
	var notified atomic.Int32
	_, err = s.Write(want[:500])
	require.NoError(e, err, "Write")
	_, err = s.Writev(net.Buffers{want[500:700], want[700:1000]})
	require.NoError(e, err, "Writev")
	require.NoError(e, s.WriteBuffer(memory), "WriteBuffer")
	require.NoError(e, s.WriteNotify(want[1500:], func(err error) { assert.NoError(e, err); notified.Add(1) }), "WriteNotify")
	assert.True(e, bytes.Equal(e.ReadAll(p, len(want)), want), "the bytes differ")
	n := t.Stats().DirectWrites - before.DirectWrites
	assert.EqualValues(e, 4, n, "direct writes")
	assert.Zero(e, s.Queued(), "bytes queued, and writes notified, while the loop is busy")
	assert.Zero(e, notified.Load(), "bytes queued, and writes notified, while the loop is busy")
	unblock()
	e.Eventually(func() bool { return notified.Load() == 1 }, "the notification")
	n = t.Stats().Writes - before.Writes
	assert.EqualValues(e, 4, n, "sends")
}

// gauge looks at a stream's queue. All of it belongs to the stream's loop.
type gauge struct {
	e              *Env
	s              *session.Stream
	o              session.StreamOptions
	told, wantTold int // calls of OnWritable
	highest        int // bytes queued
}

// look checks what can be said of the queue at any time.
func (g *gauge) look(where string) {
	q, st := g.s.Queued(), g.s.Stats()
	assert.Equal(g.e, st.BytesQueued-st.BytesSent, uint64(q), "%s: %d bytes are queued; of %d written %d were sent", where, q, st.BytesQueued, st.BytesSent)
	want := g.told == g.wantTold
	assert.Equal(g.e, want, g.s.Writable(), "%s: Writable is %v with %d bytes queued", where, !want, q)
	if q > g.o.HighWater {
		assert.False(g.e, g.s.Writable(), "%s: Writable with %d bytes queued", where, q)
	}
	g.highest = max(g.highest, q)
}

// write writes until the stream is not writable any longer, and returns the rest.
func (g *gauge) write(p []byte) []byte {
	for len(p) > 0 && g.s.Writable() {
		n, before := min(len(p), 10_000), g.s.Queued()
		if _, err := g.s.Write(p[:n]); err != nil {
			g.e.Error(err)
			return nil
		}
		p = p[n:]
		if !g.s.Writable() {
			g.wantTold++
			assert.Greater(g.e, before+n, g.o.HighWater, "not Writable after %d and %d bytes, with HighWater %d", before, n, g.o.HighWater)
		}
		g.look("writing")
	}
	return p
}

// writable is OnWritable.
func (g *gauge) writable(s *session.Stream) {
	g.told++
	g.look("OnWritable")
	assert.Less(g.e, s.Queued(), g.o.LowWater, "bytes queued in OnWritable")
}

// waterMarks writes to a peer that reads slowly. Writable and OnWritable follow the queue exactly.
func waterMarks(e *Env) {
	g := &gauge{e: e, o: session.StreamOptions{HighWater: 800_000, LowWater: 500_000}}
	h := NewHooks()
	h.Writable = g.writable
	s, p := e.Pair(h, g.o)
	g.s = s
	e.small(s)
	source := Pattern(16 << 20)
	read, rest := 0, source
	for range 3 {
		e.Eventually(func() bool { // the peer does not read, but may take some
			e.onLoop(s, func() { rest = g.write(rest) })
			time.Sleep(time.Millisecond)
			return !s.Writable()
		}, "a blocked stream")
		for written := len(source) - len(rest); read < written; {
			n := min(written-read, 50_000)
			require.True(e, bytes.Equal(e.ReadAll(p, n), source[read:read+n]), "the bytes differ")
			read += n
			e.onLoop(s, func() {
				if g.look("the peer reads"); s.Queued() < g.o.LowWater && !s.Writable() {
					e.Errorf("not Writable with %d bytes queued", s.Queued())
				}
			})
		}
		e.Eventually(func() bool { return s.Queued() == 0 && s.Writable() }, "an empty queue")
		st := s.Stats()
		assert.Equal(e, uint64(read), st.BytesSent, "bytes that the stream counts, and that the peer has read")
		assert.Equal(e, uint64(read), st.BytesQueued, "bytes that the stream counts, and that the peer has read")
	}
	time.Sleep(moment)
	e.onLoop(s, func() { g.look("the end") })
	n := h.Count("OnWritable")
	assert.Equal(e, g.wantTold, n, "calls of OnWritable")
	assert.GreaterOrEqual(e, n, 3, "calls of OnWritable")
	assert.LessOrEqual(e, g.highest, g.o.HighWater+10_000, "most bytes that were queued")
}

// waterDefaults reads the defaults of StreamOptions.
func waterDefaults(e *Env) {
	s, _ := e.Pair(NewHooks(), session.StreamOptions{})
	want := session.StreamOptions{
		ReadBufferLimit: 1 << 20, WriteBufferLimit: 16 << 20, HighWater: 128 << 10, LowWater: 64 << 10,
		CloseTimeout: 5 * time.Second, TLSHandshakeTimeout: 10 * time.Second, TurnBudget: 256 << 10,
	}
	assert.Equal(e, want, s.Options(), "the defaults")
	s, _ = e.Pair(NewHooks(), session.StreamOptions{HighWater: 3000})
	assert.Equal(e, 1500, s.Options().LowWater, "LowWater with a HighWater of 3000")
}

// peerThatDoesNotRead answers a peer that sends and does not read. What is held for it is bounded, and it gets all
// answers in the end.
func peerThatDoesNotRead(e *Env) {
	const high, readLimit = 64 << 10, 64 << 10
	h := NewHooks()
	var most atomic.Int64
	h.Data = func(s *session.Stream) {
		p, _ := s.Next(-1)
		_, err := s.Write(p)
		assert.NoError(e, err)
		most.Store(max(most.Load(), int64(s.Queued())))
	}
	s, p := e.Pair(h, session.StreamOptions{HighWater: high, ReadBufferLimit: readLimit})
	e.small(s)
	bound := high + readLimit + e.HandedOver
	want := Pattern(2*bound + 1<<20)
	if e.Peers != nil { // which also receives, to begin with
		want = Pattern(2*bound + 4<<20)
	}
	done := make(chan struct{})
	go func() { defer close(done); e.writeAll(p, want) }()
	e.stalls(s)
	if !e.TLS { // which queues more than comes
		e.Eventually(func() bool { return e.Under().Stats().BytesIn >= s.Stats().BytesQueued }, "the figures of the turn")
	}
	held := int(e.Under().Stats().BytesIn - s.Stats().BytesSent)
	assert.LessOrEqual(e, held, bound, "bytes that are held for a peer that does not read")
	r := readOn(p)
	if e.Eventually(func() bool { return r.len() >= len(want) }, "all bytes"); !await(done) {
		e.Fatal("the peer's writer does not end")
	}
	n := int(most.Load())
	assert.LessOrEqual(e, n, bound, "bytes queued, with a HighWater of %d", high)
	require.NoError(e, s.Close(), "close")
	got, _ := r.all(e)
	assert.True(e, bytes.Equal(got, want), "the bytes differ")
}

// stalls waits until a stream is blocked and the kernel takes nothing any longer.
func (e *Env) stalls(s *session.Stream) {
	e.Helper()
	e.Eventually(func() bool {
		before := s.Stats().BytesSent
		time.Sleep(moment)
		return s.Queued() > 0 && !s.Writable() && s.Stats().BytesSent == before
	}, "a blocked stream")
}

// writeAll writes in pieces, so that every kind of Peer is held up when it should be.
func (e *Env) writeAll(p Peer, b []byte) {
	for len(b) > 0 {
		n := min(len(b), 64<<10)
		if _, err := p.Write(b[:n]); err != nil {
			e.Errorf("the peer's write: %v", err)
			return
		}
		b = b[n:]
	}
}

// readWhileBlocked fills the queue of streams. They read nothing until it has room, unless ReadWhileBlocked is set.
func readWhileBlocked(e *Env) {
	want, more := Pattern(8<<20), Pattern(50_000)
	for _, goesOn := range []bool{true, false} {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{HighWater: 64 << 10, ReadWhileBlocked: goesOn})
		e.small(s)
		_, err := s.Write(want)
		require.NoError(e, err, "write")
		e.stalls(s)
		before := e.Under().Stats().BytesIn
		_, err = p.Write(more)
		require.NoError(e, err, "the peer's write")
		if goesOn {
			e.Eventually(func() bool { return h.Len() == len(more) }, "what the peer sent")
		} else if time.Sleep(moment); h.Count("OnData") != 0 || e.Under().Stats().BytesIn != before {
			e.Errorf("%d bytes were read with %d queued", e.Under().Stats().BytesIn-before, s.Queued())
		}
		assert.False(e, s.Writable(), "Writable with %d bytes queued", s.Queued())
		assert.True(e, bytes.Equal(e.ReadAll(p, len(want)), want), "the bytes differ")
		e.Eventually(func() bool { return h.Len() == len(more) }, "what the peer sent")
		assert.True(e, bytes.Equal(h.Got(), more), "the bytes that came in differ")
	}
}
