package tandem_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestEndsCrossNothing has connections that live for some messages and end in every way, while bytes wait in both
// directions and other goroutines write. What a queue or an inbox had for one stream never reaches another, and everybody
// who waits to be told is told once.
func TestEndsCrossNothing(t *testing.T) {
	for _, on := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(on.String(), func(t *testing.T) { endsCrossNothing(t, on, 400) })
	}
}

// A connection carries its key, again and again, in both directions.
const keySize = 8

func keyed(key uint64, n int) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, key), n)
}

// isKeyed reports whether p, which is at offset at of a direction, carries the key.
func isKeyed(key uint64, at int, p []byte) bool {
	k := binary.LittleEndian.AppendUint64(nil, key)
	for i, b := range p {
		if b != k[(at+i)%keySize] {
			return false
		}
	}
	return true
}

type crossing struct {
	t              *testing.T
	accepted, told atomic.Int64 // functions of WriteNotify
	open           atomic.Int64
	wrong          atomic.Int64
	writers        sync.WaitGroup
}

// endsCrossNothing makes n connections, some at a time.
func endsCrossNothing(t *testing.T, on tandem.Backend, n int) {
	c := &crossing{t: t}
	o := silent(on)
	o.Loops = 2
	tr := openOrSkip(t, &o)
	defer func() { assert.NoError(t, tr.Close()) }()
	l, err := tr.Listen("tcp", "127.0.0.1:0", &crossingServer{c: c}, &tandem.ListenOptions{
		StreamOptions: tandem.StreamOptions{ReadBufferLimit: 1 << 20, HighWater: 64 << 10, CloseTimeout: time.Second},
		Socket:        []tandem.SocketOption{tandem.SendBuffer(4 << 10)},
	})
	require.NoError(t, err)
	var clients sync.WaitGroup
	next := atomic.Uint64{}
	for range 16 {
		clients.Go(func() {
			for key := next.Add(1); key <= uint64(n); key = next.Add(1) {
				c.client(l.Addr().String(), key*0x9E3779B97F4A7C15)
			}
		})
	}
	clients.Wait()
	c.writers.Wait()
	require.Eventually(t, func() bool { return c.open.Load() == 0 && c.told.Load() == c.accepted.Load() }, 10*time.Second, time.Millisecond,
		"the streams end, and everybody is told")
	assert.Zero(t, c.wrong.Load(), "pieces that belong to another stream")
	assert.Positive(t, c.accepted.Load())
}

// client sends its key for a while, reads what comes, slowly at times, and goes.
func (c *crossing) client(addr string, key uint64) {
	r := rand.New(rand.NewPCG(key, 1))
	conn, err := net.Dial("tcp", addr)
	if !assert.NoError(c.t, err) {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	read := make(chan struct{})
	go func() {
		defer close(read)
		p, at := make([]byte, 10_000), 0
		for {
			n, err := conn.Read(p[:1+r.IntN(len(p))])
			if !isKeyed(key, at, p[:n]) {
				c.wrong.Add(1)
			}
			at += n
			if err != nil {
				assert.False(c.t, errors.Is(err, syscall.ETIMEDOUT), "the connection hangs")
				var late net.Error
				assert.False(c.t, errors.As(err, &late) && late.Timeout(), "the connection hangs")
				return
			}
		}
	}()
	w := rand.New(rand.NewPCG(key, 2))
	for range 1 + w.IntN(20) {
		if _, err := conn.Write(keyed(key, 1+w.IntN(2000))); err != nil {
			break
		}
	}
	if w.IntN(4) == 0 {
		_ = conn.(*net.TCPConn).SetLinger(0)
		return // in the middle of everything
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	<-read
}

// crossingServer is the handler of all streams until they have a key.
type crossingServer struct {
	tandem.BaseHandler
	c *crossing
}

func (h *crossingServer) OnOpen(s *tandem.Stream) { h.c.open.Add(1) }

func (h *crossingServer) OnClose(*tandem.Stream, error) { h.c.open.Add(-1) }

func (h *crossingServer) OnData(s *tandem.Stream) {
	p, err := s.Peek(keySize)
	if err != nil {
		return
	}
	key := binary.LittleEndian.Uint64(p)
	k := &crossingStream{c: h.c, key: key, r: rand.New(rand.NewPCG(key, 3))}
	s.SetHandler(k)
	if k.r.IntN(3) == 0 {
		h.c.writers.Go(func() { k.writeElsewhere(s) })
	}
}

// crossingStream is a stream with a key.
type crossingStream struct {
	tandem.BaseHandler
	c    *crossing
	key  uint64
	at   int // read
	r    *rand.Rand
	held []*tandem.Buffer
	from []int // where they begin
}

func (h *crossingStream) check(p []byte) {
	if !isKeyed(h.key, h.at, p) {
		h.c.wrong.Add(1)
	}
	h.at += len(p)
}

// write writes the key in one of the ways, and some of them are held for long.
func (c *crossing) write(s *tandem.Stream, key uint64, r *rand.Rand) {
	p := keyed(key, 1+r.IntN(400))
	switch r.IntN(4) {
	case 0:
		_, _ = s.Write(p)
	case 1:
		_, _ = s.Writev(net.Buffers{p[:5], p[5:8], p[8:]})
	case 2:
		if s.WriteNotify(p, func(error) { c.told.Add(1) }) == nil {
			c.accepted.Add(1)
		}
	case 3:
		_ = s.Flush()
	}
}

func (h *crossingStream) writeElsewhere(s *tandem.Stream) {
	r := rand.New(rand.NewPCG(h.key, 4))
	for range 1 + r.IntN(50) {
		h.c.write(s, h.key, r)
		if r.IntN(8) == 0 {
			time.Sleep(100 * time.Microsecond) // so that ends come between writes
		}
	}
	switch r.IntN(4) {
	case 0:
		_ = s.Abort()
	case 1:
		_ = s.Close()
	}
}

func (h *crossingStream) OnData(s *tandem.Stream) {
	for range 3 {
		switch h.r.IntN(4) {
		case 0:
			p, _ := s.Next(h.r.IntN(s.Buffered() + 1))
			h.check(p)
		case 1:
			from := h.at
			if b, err := s.Take(h.r.IntN(s.Buffered() + 1)); err == nil {
				h.check(b.Bytes())
				h.held, h.from = append(h.held, b), append(h.from, from)
			}
		}
		h.c.write(s, h.key, h.r)
	}
	p, _ := s.Peek(-1)
	if h.r.IntN(3) > 0 {
		_, _ = s.Discard(len(p))
		h.check(p)
	}
	h.end(s, h.r.IntN(60))
}

func (h *crossingStream) end(s *tandem.Stream, how int) {
	switch how {
	case 0:
		_ = s.Abort()
	case 1:
		_ = s.Close()
	case 2:
		panic("a handler that is wrong")
	case 3:
		_ = s.Post(func() { panic("a function that is wrong") })
	case 4:
		if conn, err := s.Detach(); err == nil {
			h.c.writers.Go(func() { h.detached(conn) })
		}
	case 5:
		s.PauseRead()
		s.After(time.Duration(h.r.IntN(3))*time.Millisecond, s.ResumeRead)
	case 6:
		_ = s.CloseWrite()
	case 7:
		s.SetReadIdleTimeout(time.Millisecond)
	}
}

// detached reads the rest of a connection that is no stream any longer.
func (h *crossingStream) detached(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	p, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		assert.NoError(h.c.t, err)
	}
	k := binary.LittleEndian.AppendUint64(nil, h.key)
	if len(p) > keySize {
		i := bytes.Index(p, k)
		if i < 0 || i >= keySize && len(p) >= 2*keySize || !isKeyed(h.key, keySize-i, p) {
			h.c.wrong.Add(1)
		}
	}
}

// OnClose reads what is left, and looks again at what was taken.
func (h *crossingStream) OnClose(s *tandem.Stream, _ error) {
	p, _ := s.Next(-1)
	h.check(p)
	for i, b := range h.held {
		if !isKeyed(h.key, h.from[i], b.Bytes()) {
			h.c.wrong.Add(1)
		}
		b.Release()
	}
	h.c.open.Add(-1)
}
