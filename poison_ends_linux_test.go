package tandem_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session"
)

// readings are the ways to read what a stream has. Each gives take every byte, in order.
var readings = []func(s *tandem.Stream, r *rand.Rand, take func(p []byte)){
	func(s *tandem.Stream, _ *rand.Rand, take func([]byte)) {
		p, _ := s.Peek(-1)
		take(p)
		_, _ = s.Discard(len(p))
	},
	func(s *tandem.Stream, r *rand.Rand, take func([]byte)) {
		for s.Buffered() > 0 {
			p, _ := s.Next(1 + r.IntN(s.Buffered()))
			take(p)
		}
	},
	func(s *tandem.Stream, r *rand.Rand, take func([]byte)) { // leaves a part, for later
		p, _ := s.Next(r.IntN(s.Buffered() + 1))
		take(p)
	},
	func(s *tandem.Stream, r *rand.Rand, take func([]byte)) {
		b, _ := s.Take(1 + r.IntN(s.Buffered()))
		p, _ := s.Next(-1)
		take(b.Bytes())
		b.Release()
		take(p)
	},
	func(s *tandem.Stream, _ *rand.Rand, take func([]byte)) {
		p := make([]byte, 1000)
		for s.Buffered() > 0 {
			n, _ := s.Read(p)
			take(p[:n])
		}
	},
	func(s *tandem.Stream, _ *rand.Rand, take func([]byte)) {
		_, _ = s.WriteTo(writerFunc(func(p []byte) (int, error) {
			take(p)
			return len(p), nil
		}))
	},
}

// readAll reads in one of these ways, now and, if it left something, later. It calls then when all is read.
func readAll(s *tandem.Stream, r *rand.Rand, take func([]byte), then func()) {
	if s.Buffered() > 0 {
		readings[r.IntN(len(readings))](s, r, take)
	}
	if s.Buffered() > 0 {
		_ = s.Post(func() { readAll(s, r, take, then) })
	} else {
		then()
	}
}

// echoing is a stream of a server, which checks the messages and sends them back.
type echoing struct {
	tandem.BaseHandler
	f *traffic
	v verifier
	r *rand.Rand
}

// bytesServer reads bytes, and writes them.
type bytesServer struct{ echoing }

func (h *bytesServer) OnData(s *tandem.Stream) {
	readAll(s, h.r, func(p []byte) {
		if h.f.verify(s, &h.v, p, &h.f.received) {
			_, _ = s.Write(p)
		}
	}, func() {})
	if h.r.IntN(50) == 0 {
		s.PauseRead()
		s.After(time.Millisecond, s.ResumeRead)
	}
}

// bufferServer takes memory, and writes it: at once, or on another goroutine.
type bufferServer struct {
	echoing
	elsewhere chan *tandem.Buffer // nil: at once
}

func (h *bufferServer) OnData(s *tandem.Stream) {
	for s.Buffered() > 0 {
		b, err := s.Take(1 + h.r.IntN(s.Buffered()))
		if !assert.NoError(h.f.t, err) || !h.f.verify(s, &h.v, b.Bytes(), &h.f.received) {
			return
		}
		if h.elsewhere == nil {
			writeBuffer(s, b)
		} else if len(h.elsewhere) < cap(h.elsewhere) {
			h.elsewhere <- b
		} else {
			b.Release()
			_ = s.Abort()
			return
		}
	}
}

func (h *bufferServer) OnOpen(s *tandem.Stream) {
	if h.r.IntN(2) == 0 {
		return
	}
	h.elsewhere = make(chan *tandem.Buffer, 1<<16)
	go func() {
		for b := range h.elsewhere {
			writeBuffer(s, b)
		}
	}()
}

func (h *bufferServer) OnClose(*tandem.Stream, error) {
	if h.elsewhere != nil {
		close(h.elsewhere)
	}
}

func writeBuffer(s *tandem.Stream, b *tandem.Buffer) {
	if s.WriteBuffer(b) != nil {
		b.Release()
	}
}

// frameServer makes a handler of messages. Some of them take the next one, too, or all that is there.
func frameServer(f *traffic, r *rand.Rand) tandem.Handler {
	v := &verifier{}
	one := func(s *tandem.Stream, m []byte) bool {
		f.received.Add(1)
		f.bytes.Add(int64(len(m)))
		return f.good(s, v.whole(m))
	}
	return session.Frames(messages, func(s *tandem.Stream, m []byte) {
		if !one(s, m) {
			return
		}
		var next []byte
		var b *tandem.Buffer
		if p, _ := s.Peek(-1); len(p) >= messageHeader && r.IntN(3) == 0 {
			if size, _, _ := wholeMessages(p); size > 0 && r.IntN(2) == 0 {
				b, _ = s.Take(size)
				if next = b.Bytes(); r.IntN(2) == 0 {
					next = bytes.Clone(next)
					b.Release() // the message stays
				}
			} else if size > 0 {
				next, _ = s.Next(size)
			}
		}
		_, _ = s.Write(m) // still as it was
		for len(next) > 0 {
			_, first, _ := wholeMessages(next)
			if !one(s, next[:first]) {
				break
			}
			_ = session.WriteFrame(s, messages, next[:first])
			next = next[first:]
		}
		if b != nil {
			b.Release()
		}
	})
}

// wholeMessages returns how many bytes of p are complete messages, how many the first of them has, and how many there are.
func wholeMessages(p []byte) (size, first, n int) {
	for len(p)-size >= messageHeader {
		m := p[size:]
		k := messageHeader + int(uint32(m[0])|uint32(m[1])<<8|uint32(m[2])<<16|uint32(m[3])<<24)
		if len(m) < k {
			break
		}
		if size += k; n == 0 {
			first = k
		}
		n++
	}
	return size, first, n
}

// passOn passes Buffers on to another stream, which may be on another loop, and back.
type passOn struct {
	tandem.BaseHandler
	f     *traffic
	other *tandem.Stream
}

func (h *passOn) OnOpen(s *tandem.Stream) {
	if h.other != nil {
		return
	}
	h.other, _ = h.f.transport.Connect("tcp", h.f.addrs[0], &passOn{f: h.f, other: s}, nil)
}

func (h *passOn) OnData(s *tandem.Stream) {
	for s.Buffered() > 0 {
		b, err := s.Take(-1)
		if !assert.NoError(h.f.t, err) {
			return
		}
		writeBuffer(h.other, b)
	}
}

func (h *passOn) OnClose(*tandem.Stream, error) {
	if h.other != nil {
		_ = h.other.Close()
	}
}

// listen begins to listen: for streams that echo in different ways, and for relays to them.
func (f *traffic) listen() {
	var n atomic.Uint64
	echo := &opener{open: func(s *tandem.Stream) {
		k := n.Add(1)
		e := echoing{f: f, r: rand.New(rand.NewPCG(k, 7))}
		switch k % 3 {
		case 0:
			s.SetHandler(frameServer(f, e.r))
		case 1:
			s.SetHandler(&bytesServer{e})
		default:
			h := &bufferServer{echoing: e}
			h.OnOpen(s)
			s.SetHandler(h)
		}
	}}
	relays := &opener{open: func(s *tandem.Stream) {
		h := &passOn{f: f}
		h.OnOpen(s)
		s.SetHandler(h)
	}}
	for _, h := range []tandem.Handler{echo, relays} {
		l, err := f.transport.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(f.t, err)
		f.addrs = append(f.addrs, l.Addr().String())
	}
}

// opener sets the handler of streams.
type opener struct {
	tandem.BaseHandler
	open func(*tandem.Stream)
}

func (h *opener) OnOpen(s *tandem.Stream) { h.open(s) }

// client sends batches of messages, and the next one when the last has come back.
type client struct {
	tandem.BaseHandler
	f     *traffic
	r     *rand.Rand
	v     verifier
	quota int // messages that it is to send
	next  uint32
	batch []byte
	abort bool // in the end
}

// connect begins a stream, or ends a slot if nothing is left to be sent.
func (f *traffic) connect(r *rand.Rand) {
	quota := min(100+r.IntN(f.most), int(f.left.Load()))
	if quota <= 0 || f.left.Add(-int64(quota)) < 0 || f.wrong.Load() > 0 || f.late() {
		if f.clients.Add(-1) == 0 {
			close(f.done)
		}
		return
	}
	c := &client{f: f, r: r, quota: quota, abort: r.IntN(8) == 0}
	_, err := f.transport.Connect("tcp", f.addrs[r.IntN(len(f.addrs))], c, nil)
	assert.NoError(f.t, err)
}

func (c *client) OnOpen(s *tandem.Stream) { c.send(s) }

func (c *client) OnClose(_ *tandem.Stream, err error) {
	if c.abort {
		c.f.aborted.Add(1)
	} else {
		assert.NoError(c.f.t, err)
		assert.EqualValues(c.f.t, c.next, c.v.next, "messages that came back")
	}
	c.f.connect(c.r)
}

func (c *client) OnData(s *tandem.Stream) {
	readAll(s, c.r, func(p []byte) {
		if !c.f.verify(s, &c.v, p, &c.f.echoed) {
			c.abort = true
		}
	}, func() {
		if c.v.next == c.next {
			c.send(s)
		}
	})
}

// send sends a batch, or ends the stream: each time in another way.
func (c *client) send(s *tandem.Stream) {
	k := min(c.quota, 1+c.r.IntN(300))
	if k == 0 || c.f.late() {
		_ = s.Close()
		return
	}
	c.batch = c.batch[:0]
	var ends []int
	for range k {
		c.batch = appendMessage(c.batch, c.next, c.r)
		c.next++
		ends = append(ends, len(c.batch))
	}
	c.quota -= k
	c.f.sent.Add(int64(k))
	ways := []func(){
		func() { _, _ = s.Write(c.batch) },
		func() { _, _ = s.Writev(pieces(c.batch, ends)) },
		func() { _ = s.WriteNotify(c.batch, func(error) {}) },
		func() {
			for _, m := range pieces(c.batch, ends) {
				_ = session.WriteFrame(s, messages, m)
			}
		},
	}
	write := func() {
		ways[c.r.IntN(len(ways))]()
		scribble(c.batch)
		if c.abort && c.quota == 0 {
			_ = s.Abort()
		}
	}
	if c.r.IntN(3) > 0 {
		write()
		return
	}
	s.PauseRead() // the answer may come before write has returned
	go func() {
		write()
		s.ResumeRead()
	}()
}

// pieces cuts p.
func pieces(p []byte, ends []int) (all net.Buffers) {
	at := 0
	for _, end := range ends {
		all = append(all, p[at:end:end])
		at = end
	}
	return all
}
