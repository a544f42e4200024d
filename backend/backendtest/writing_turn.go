package backendtest

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

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
	if got := t.Stats().Writes - before; got != uint64(n) {
		e.Errorf("%s took %d sends, not %d", what, got, n)
	}
}

func oneSendATurn(e *Env) {
	t := e.oneLoop()
	quiet := NewHooks()
	other, q := e.PairOn(t, quiet, session.StreamOptions{})
	many := func(s *session.Stream) {
		for i := range 50 {
			_, err := s.Write(Pattern(5))
			e.noError(err)
			if _, err = other.Writev(net.Buffers{{byte(i)}, {2, 3, 4, 5}}); err != nil {
				e.Error(err)
			}
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
		{"OnData", func() { _, err := p.Write([]byte("x")); e.Check(err, "write") }},
		{"a timer", func() { s.After(time.Millisecond, func() { many(s) }) }},
		{"Post", func() { e.Check(s.Post(func() { many(s) }), "post") }},
		{"a notification", func() {
			before++ // of the notification's own bytes
			e.Check(s.WriteNotify([]byte("12345"), func(error) { many(s) }), "write")
			e.ReadAll(p, 5)
		}},
		{"OnEOF", func() { e.Check(p.CloseWrite(), "close for writing") }},
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
		s, p := e.Pair(NewHooks(), session.StreamOptions{})
		read := make(chan struct{})
		n := make(chan int, 1)
		var failure atomic.Pointer[error]
		e.Check(s.Post(func() {
			k, err := write(s)
			if n <- k; err == nil && !await(read) {
				err = fmt.Errorf("what %s should send is not sent before the callback returns", what)
			}
			if err != nil {
				failure.Store(&err)
			}
			_, endErr := s.Write([]byte("end"))
			e.noError(endErr)
		}), "post")
		e.ReadAll(p, <-n)
		close(read)
		r := readOn(p)
		e.Eventually(func() bool { return r.len() >= 3 }, "the rest")
		e.onLoop(s, func() {})
		if err := failure.Load(); err != nil {
			e.Error(*err)
		}
		e.Check(s.Close(), "close")
		got, _ := r.all(e)
		if !bytes.HasSuffix(got, []byte("end")) {
			e.Error("the last bytes are missing")
		}
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
	e.Check(err, "write")
	if !await(taken) {
		e.Fatal("no data")
	}
	before := t.Stats()
	block, blocked := make(chan struct{}), make(chan struct{})
	e.Check(busy.Post(func() { close(blocked); <-block }), "post")
	<-blocked
	unblock := sync.OnceFunc(func() { close(block) })
	e.Cleanup(unblock)
	var notified atomic.Int32
	_, err = s.Write(want[:500])
	e.Check(err, "Write")
	_, err = s.Writev(net.Buffers{want[500:700], want[700:1000]})
	e.Check(err, "Writev")
	e.Check(s.WriteBuffer(memory), "WriteBuffer")
	e.Check(s.WriteNotify(want[1500:], func(err error) { e.noError(err); notified.Add(1) }), "WriteNotify")
	if got := e.ReadAll(p, len(want)); !bytes.Equal(got, want) {
		e.Error("the bytes differ")
	}
	if n := t.Stats().DirectWrites - before.DirectWrites; n != 4 {
		e.Errorf("%d writes were direct, not 4", n)
	}
	if s.Queued() != 0 || notified.Load() != 0 {
		e.Errorf("%d bytes are queued and %d writes notified while the loop is busy", s.Queued(), notified.Load())
	}
	unblock()
	e.Eventually(func() bool { return notified.Load() == 1 }, "the notification")
	if n := t.Stats().Writes - before.Writes; n != 4 {
		e.Errorf("%d sends, not 4", n)
	}
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
	if uint64(q) != st.BytesQueued-st.BytesSent {
		g.e.Errorf("%s: %d bytes are queued; of %d written %d were sent", where, q, st.BytesQueued, st.BytesSent)
	}
	if want := g.told == g.wantTold; g.s.Writable() != want {
		g.e.Errorf("%s: Writable is %v with %d bytes queued", where, !want, q)
	}
	if q > g.o.HighWater && g.s.Writable() {
		g.e.Errorf("%s: Writable with %d bytes queued", where, q)
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
			if before+n <= g.o.HighWater {
				g.e.Errorf("not Writable after %d and %d bytes, with HighWater %d", before, n, g.o.HighWater)
			}
		}
		g.look("writing")
	}
	return p
}

// writable is OnWritable.
func (g *gauge) writable(s *session.Stream) {
	g.told++
	g.look("OnWritable")
	if s.Queued() >= g.o.LowWater {
		g.e.Errorf("OnWritable with %d bytes queued", s.Queued())
	}
}

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
			if !bytes.Equal(e.ReadAll(p, n), source[read:read+n]) {
				e.Fatal("the bytes differ")
			}
			read += n
			e.onLoop(s, func() {
				if g.look("the peer reads"); s.Queued() < g.o.LowWater && !s.Writable() {
					e.Errorf("not Writable with %d bytes queued", s.Queued())
				}
			})
		}
		e.Eventually(func() bool { return s.Queued() == 0 && s.Writable() }, "an empty queue")
		if st := s.Stats(); st.BytesSent != uint64(read) || st.BytesQueued != uint64(read) {
			e.Errorf("the peer has read %d bytes; the stream counts %d written and %d sent", read, st.BytesQueued, st.BytesSent)
		}
	}
	time.Sleep(moment)
	e.onLoop(s, func() { g.look("the end") })
	if n := h.Count("OnWritable"); n != g.wantTold || n < 3 {
		e.Errorf("OnWritable was called %d times, not %d", n, g.wantTold)
	}
	if g.highest > g.o.HighWater+10_000 {
		e.Errorf("%d bytes were queued, which nobody wrote", g.highest)
	}
}

func waterDefaults(e *Env) {
	s, _ := e.Pair(NewHooks(), session.StreamOptions{})
	want := session.StreamOptions{
		ReadBufferLimit: 1 << 20, WriteBufferLimit: 16 << 20, HighWater: 128 << 10, LowWater: 64 << 10,
		CloseTimeout: 5 * time.Second, TurnBudget: 256 << 10,
	}
	if got := s.Options(); got != want {
		e.Errorf("the defaults are %+v", got)
	}
	s, _ = e.Pair(NewHooks(), session.StreamOptions{HighWater: 3000})
	if got := s.Options().LowWater; got != 1500 {
		e.Errorf("LowWater is %d with a HighWater of 3000", got)
	}
}

func peerThatDoesNotRead(e *Env) {
	const high, readLimit = 64 << 10, 64 << 10
	h := NewHooks()
	var most atomic.Int64
	h.Data = func(s *session.Stream) {
		p, _ := s.Next(-1)
		_, err := s.Write(p)
		e.noError(err)
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
	e.Eventually(func() bool { return e.Under().Stats().BytesIn >= s.Stats().BytesQueued }, "the figures of the turn")
	if held := int(e.Under().Stats().BytesIn - s.Stats().BytesSent); held > bound {
		e.Errorf("%d bytes are held for a peer that does not read; %d were to be the most", held, bound)
	}
	r := readOn(p)
	if e.Eventually(func() bool { return r.len() >= len(want) }, "all bytes"); !await(done) {
		e.Fatal("the peer's writer does not end")
	}
	if n := int(most.Load()); n > bound {
		e.Errorf("%d bytes were queued, with a HighWater of %d", n, high)
	}
	e.Check(s.Close(), "close")
	if got, _ := r.all(e); !bytes.Equal(got, want) {
		e.Error("the bytes differ")
	}
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

func readWhileBlocked(e *Env) {
	want, more := Pattern(8<<20), Pattern(50_000)
	for _, goesOn := range []bool{true, false} {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{HighWater: 64 << 10, ReadWhileBlocked: goesOn})
		e.small(s)
		_, err := s.Write(want)
		e.Check(err, "write")
		e.stalls(s)
		before := e.Under().Stats().BytesIn
		_, err = p.Write(more)
		e.Check(err, "the peer's write")
		if goesOn {
			e.Eventually(func() bool { return h.Len() == len(more) }, "what the peer sent")
		} else if time.Sleep(moment); h.Count("OnData") != 0 || e.Under().Stats().BytesIn != before {
			e.Errorf("%d bytes were read with %d queued", e.Under().Stats().BytesIn-before, s.Queued())
		}
		if s.Writable() {
			e.Errorf("Writable with %d bytes queued", s.Queued())
		}
		if !bytes.Equal(e.ReadAll(p, len(want)), want) {
			e.Error("the bytes differ")
		}
		e.Eventually(func() bool { return h.Len() == len(more) }, "what the peer sent")
		if !bytes.Equal(h.Got(), more) {
			e.Error("the bytes that came in differ")
		}
	}
}
