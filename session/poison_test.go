package session

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/frame"
)

// The tests in this file hold on to memory for too long, and look at what they see.

// reader is a handler whose OnData is a function.
type reader struct {
	BaseHandler
	data func(*Stream)
}

func (r reader) OnData(s *Stream) { r.data(s) }

// reading makes a stream whose handler is on.
func reading(t *testing.T, on func(*Stream)) *actor {
	a := newActor(t, StreamOptions{})
	a.s.SetHandler(reader{data: on})
	return a
}

// Peek and Next lend until the callback returns, out of the driver's memory or the stream's, all of it or a part.
func TestLoansEndWithTheCallback(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	for name, read := range map[string]func(*Stream) ([]byte, error){
		"Peek all":    func(s *Stream) ([]byte, error) { return s.Peek(-1) },
		"Peek a part": func(s *Stream) ([]byte, error) { return s.Peek(3) },
		"Next all":    func(s *Stream) ([]byte, error) { return s.Next(-1) },
		"Next a part": func(s *Stream) ([]byte, error) { return s.Next(3) },
	} {
		t.Run(name, func(t *testing.T) {
			var lent []byte
			held := 0 // unread
			a := reading(t, func(s *Stream) {
				p, err := read(s)
				require.NoError(t, err)
				lent, held = p, s.Buffered()
			})
			for _, piece := range []string{"bytes in ", "pieces"} { // the second finds what is unread of the first
				a.f.send(piece)
				a.turn()
				assert.True(t, drivertest.IsPoison(lent), "after OnData: %q", lent)
				require.Equal(t, held, a.s.Buffered())
			}
			p, err := a.s.Peek(-1)
			require.NoError(t, err)
			assert.True(t, strings.HasSuffix("bytes in pieces", string(p)), "what is unread: %q", p)
			require.NoError(t, a.s.Abort())
			a.turn()
		})
	}
}

// Other callbacks than OnData lend, too, and those of other streams.
func TestLoansOfOtherCallbacks(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	a := newActor(t, StreamOptions{})
	a.leave = true
	a.f.send("unread")
	a.turn()
	var lent []byte
	peek := func() {
		p, err := a.s.Peek(-1)
		require.NoError(t, err)
		require.Equal(t, "unread", string(p))
		lent = p
	}
	ended := func(what string) {
		t.Helper()
		require.NotNil(t, lent, what)
		assert.True(t, drivertest.IsPoison(lent), what)
		lent = nil
	}
	a.s.After(time.Millisecond, peek)
	a.pass(time.Second)
	ended("After")
	require.NoError(t, a.s.Post(peek))
	a.turn()
	ended("Post")
	require.NoError(t, a.s.WriteNotify([]byte("x"), func(error) { peek() }))
	a.turn()
	ended("WriteNotify")
	other, err := a.engine.Adopt(anyConn{}, &recorder{})
	require.NoError(t, err)
	a.turn()
	require.NoError(t, other.Post(peek))
	a.turn()
	ended("Post of another stream")
	a.then = func(_ *Stream, event string) {
		if event != "data " {
			peek()
		}
	}
	a.f.eof = true
	a.turn()
	ended("OnEOF and OnClose")
}

// What Take hands over stays. What was lent in front of it and behind it does not.
func TestTakeEndsNoOtherLoan(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	head, body := want[:16], want[16:smallestKept+16]
	for name, keep := range map[string]func() func(){
		"the driver keeps its memory": func() func() { return nil },
		"the driver spares it":        func() func() { return func() {} },
	} {
		for _, own := range []bool{false, true} {
			in := inbox{pool: new(backend.Pool), loop: new(backend.Counters)}
			if p := bytes.Clone(want); own {
				in.push(p)
			} else {
				in.lend(p)
			}
			first := in.bytes()[:len(head)]
			in.consume(len(head))
			var b *Buffer
			if last := in.bytes()[len(body):]; own {
				b = in.take(in.len(), keep)
			} else {
				b = in.take(len(body), keep)
				in.endLoan()
				assert.True(t, drivertest.IsPoison(last), "unread, %s", name)
				assert.Equal(t, string(want[16+len(body):]), string(in.bytes()), "%s", name)
			}
			assert.True(t, drivertest.IsPoison(first), "read before, %s", name)
			assert.True(t, bytes.HasPrefix(b.Bytes(), body), "taken, %s", name)
			taken := b.Bytes()
			b.Release()
			assert.True(t, drivertest.IsPoison(taken), "released, %s", name)
			in.drop()
		}
	}
}

// Each Buffer of one piece of memory ends for itself.
func TestBuffersShareMemory(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	released := 0
	in := inbox{pool: new(backend.Pool), loop: new(backend.Counters)}
	in.lend(bytes.Repeat([]byte("x"), 2*smallestKept))
	keep := func() func() { return func() { released++ } }
	first, second := in.take(smallestKept, keep), in.take(smallestKept, keep)
	in.endLoan()
	p := first.Bytes()
	first.Release()
	assert.True(t, drivertest.IsPoison(p))
	assert.Equal(t, strings.Repeat("x", smallestKept), string(second.Bytes()))
	assert.Zero(t, released)
	second.Release()
	assert.Equal(t, 1, released)
}

// What a delivery leaves unread is copied before the memory goes back, also if all of its Buffers have been released
// by then.
func TestRestIsCopiedBeforeMemoryGoesBack(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	lent := bytes.Clone(want)
	in := inbox{pool: new(backend.Pool), loop: new(backend.Counters)}
	in.lend(lent)
	in.take(smallestKept, func() func() { return func() { clear(lent) } }).Release()
	in.endLoan()
	assert.Equal(t, string(want[smallestKept:]), string(in.bytes()))
}

// A message is valid until its handler returns, whatever that reads, takes and releases; and no longer.
func TestMessageLoansEnd(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	large := strings.Repeat("large", smallestKept)
	for name, read := range map[string]func(*Stream){
		"nothing else": func(*Stream) {},
		"Next":         func(s *Stream) { _, _ = s.Next(min(4, s.Buffered())) },
		"Take":         func(s *Stream) { b, _ := s.Take(s.Buffered()); b.Release() },
	} {
		for _, cut := range []int{0, 3, 100} { // in memory of the driver, of the stream, and of both
			var lent []byte
			calls := 0
			h := Frames[[]byte](frame.U64{MaxPayload: 1 << 20}, nil)
			h.Message = func(s *Stream, m []byte) {
				if calls++; lent != nil {
					assert.True(t, drivertest.IsPoison(lent), "in the next call: %s", name)
				}
				want := string(m)
				read(s)
				s.loop.Pool.Put(s.loop.Pool.Get(1 << 15)) // somebody else uses what was released
				require.Equal(t, want, string(m), name)
				lent = m
			}
			a := newActor(t, StreamOptions{})
			a.s.SetHandler(h)
			var all []byte
			for _, m := range []string{"small", large} {
				all, _ = frame.U64{}.Append(all, []byte(m))
			}
			for _, piece := range [][]byte{all[:cut], all[cut:]} {
				a.f.send(string(piece))
				a.turn()
			}
			require.NotZero(t, calls)
			assert.True(t, drivertest.IsPoison(lent), "%s, cut at %d", name, cut)
		}
	}
}

// The message that the end of the stream ends is lent like the others.
func TestFinalMessageLoanEnds(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	var lent []byte
	a := newActor(t, StreamOptions{})
	a.s.SetHandler(Frames[[]byte](frame.Line{}, func(_ *Stream, m []byte) {
		require.Equal(t, "the last line", string(m))
		lent = m
	}))
	a.f.send("the last line")
	a.f.eof = true
	a.turn()
	assert.True(t, drivertest.IsPoison(lent))
}

// The memory of the queue is the kernel's until it has taken the bytes, and nobody's afterwards.
func TestQueueMemoryEnds(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	q := queue{pool: new(backend.Pool)}
	q.push([]byte("0123456789"))
	b := newShared(q.pool, q.pool.Get(512)).buffer([]byte("a buffer"))
	q.pushShared(b.bytes, b.memory)
	v := q.vector(nil)
	q.advance(4)
	assert.True(t, drivertest.IsPoison(v[0][:4]))
	assert.Equal(t, "456789", string(v[0][4:]))
	q.advance(8)
	assert.True(t, drivertest.IsPoison(v[0]))
	assert.True(t, drivertest.IsPoison(v[1][:2]))
	assert.Equal(t, "buffer", string(v[1][2:]))
	q.drop()
	assert.True(t, drivertest.IsPoison(v[1]))
}

// The rest of a connection that has failed is lent like the bytes before.
func TestLoansOfFailedConnections(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	var lent []byte
	a := reading(t, func(s *Stream) {
		p, err := s.Next(-1)
		require.NoError(t, err)
		require.Equal(t, "rest", string(p))
		lent = p
	})
	a.f.receiving = false
	a.f.failure = syscall.ECONNRESET
	a.f.in = []byte("rest")
	(*streamEvents)(a.s).ReceiveEnded(syscall.ECONNRESET)
	a.s.rx.done = false
	a.turn()
	assert.True(t, drivertest.IsPoison(lent), "%q", lent)
}

// A message of a MessageBuffer is valid until the next call.
func TestMessageBufferLoansEnd(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	codec := frame.U64{}
	for name, next := range map[string]func(*MessageBuffer[[]byte]){
		"Next":  func(b *MessageBuffer[[]byte]) { _, _, _ = b.Next() },
		"Add":   func(b *MessageBuffer[[]byte]) { b.Add([]byte{0}) },
		"Keep":  func(b *MessageBuffer[[]byte]) { b.Keep() },
		"Drop":  func(b *MessageBuffer[[]byte]) { b.Drop() },
		"Final": func(b *MessageBuffer[[]byte]) { _, _, _ = b.Final() },
	} {
		all, err := codec.Append(nil, []byte("message"))
		require.NoError(t, err)
		b := NewMessageBuffer(codec)
		b.Add(bytes.Clone(all[:5]))
		_, ok, err := b.Next()
		require.NoError(t, err)
		require.False(t, ok)
		given := append(all[5:], "the next one"...)
		b.Add(given)
		m, ok, err := b.Next()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, 12, b.Len())
		require.Equal(t, "message", string(m))
		next(b)
		assert.True(t, drivertest.IsPoison(m), name)
		assert.True(t, bytes.HasSuffix(given, []byte("the next one")), "memory of the caller's, %s", name)
	}
}

// The kernel may still read what was queued when a driver has failed with a Send in flight, so that nobody else gets that
// memory.
func TestDriverFailsWithSendInFlight(t *testing.T) {
	for name, end := range map[string]func(*actor){
		"open":      func(*actor) {},
		"detaching": func(a *actor) { _, err := a.s.Detach(); require.NoError(a, err) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor(t, StreamOptions{})
			a.f.room = 0
			_, err := a.s.Write([]byte("in flight"))
			require.NoError(t, err)
			released := false
			mine := &shared{release: func() { released = true }}
			mine.refs.Store(1)
			require.NoError(t, a.s.WriteBuffer(mine.buffer([]byte(", too"))))
			a.turn()
			require.True(t, a.s.tx.sending)
			memory := a.s.tx.out.vector(nil)
			a.s.sock.Op = &memory[0][0] // as a driver has it that could not wait for its requests
			end(a)
			a.kill(a.engine.loops[0], errors.New("on purpose"))
			assert.Equal(t, closed, a.s.life.phase)
			assert.Equal(t, "in flight, too", string(bytes.Join(memory, nil)))
			assert.NotSame(t, &memory[0][0], &a.s.loop.Pool.Get(smallestSegment)[0], "the pool has the memory")
			assert.False(t, released, "the Buffer was released")
			assert.Zero(t, a.s.Queued())
		})
	}
}
