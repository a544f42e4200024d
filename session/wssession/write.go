package wssession

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
)

// WriteText sends a text. It takes all of it or nothing, as Stream.Write does. The errors are session.ErrWriteBufferFull;
// net.ErrClosed after a Close of either end; syscall.ENOTCONN before OnOpen; a *frame.Error for a text that is no UTF-8, or
// while a message in fragments has not ended. Any goroutine; it does not block.
func (c *Conn) WriteText(p []byte) error {
	return c.Write(websocket.Message{Kind: websocket.Text, Data: p})
}

// WriteBinary is WriteText for a message of bytes.
func (c *Conn) WriteBinary(p []byte) error {
	return c.Write(websocket.Message{Kind: websocket.Binary, Data: p})
}

// Write sends a message, or a fragment of one: More says that another one follows, which has the same Kind. Between the
// fragments of a message no other message can be sent, but pings can. Otherwise it is like WriteText.
func (c *Conn) Write(m websocket.Message) error {
	if m.Kind != websocket.Text && m.Kind != websocket.Binary {
		return wrong("a message that is %v", m.Kind)
	}
	f := websocket.Frame{Opcode: m.Kind, Fin: !m.More, Payload: m.Data}
	if !m.More && c.compresses(len(m.Data)) {
		packed := packages.Get().(*[]byte)
		p, smaller := websocket.AppendDeflated((*packed)[:0], m.Data, c.options.CompressionLevel)
		defer giveBack(packed, p)
		if smaller {
			f.Payload, f.RSV1 = p, true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.kind == websocket.Continuation && !m.More {
		if m.Kind == websocket.Text && !utf8.Valid(m.Data) {
			return wrong("a text that is no UTF-8")
		}
		return c.writeLocked(f)
	}
	return c.writeFragment(m)
}

// writeFragment is Write for a fragment. mu is held.
func (c *Conn) writeFragment(m websocket.Message) error {
	f := websocket.Frame{Opcode: m.Kind, Fin: !m.More, Payload: m.Data}
	var text websocket.TextChecker
	switch c.out.kind {
	case websocket.Continuation:
	case m.Kind:
		f.Opcode, text = websocket.Continuation, c.out.text
	default:
		return wrong("a %v message among the fragments of another one", m.Kind)
	}
	if m.Kind == websocket.Text && !text.Add(m.Data, !m.More) {
		return wrong("a text that is no UTF-8")
	}
	if err := c.writeLocked(f); err != nil {
		return err
	}
	if c.out.kind, c.out.text = m.Kind, text; !m.More {
		c.out.kind = websocket.Continuation
	}
	return nil
}

// Ping sends a Ping with p, at most 125 bytes. The answer is for a PongHandler, and counts as bytes from the peer. Any
// goroutine; it does not block.
func (c *Conn) Ping(p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writeLocked(websocket.Frame{Opcode: websocket.Ping, Fin: true, Payload: p})
}

// writeLocked sends a frame. mu is held, so that nothing follows a Close.
func (c *Conn) writeLocked(f websocket.Frame) error {
	switch c.state {
	case connecting:
		return fmt.Errorf("wssession: write: the handshake has not ended: %w", syscall.ENOTCONN)
	case closing:
		return net.ErrClosed
	}
	return session.WriteFrame(c.stream, c.codec, f)
}

// compresses reports whether a message of n bytes is compressed.
func (c *Conn) compresses(n int) bool {
	return c.agreed.Compression && n >= c.options.CompressionThreshold
}

func wrong(format string, args ...any) error {
	return &frame.Error{Codec: "websocket", What: fmt.Sprintf(format, args...), Err: frame.ErrMalformed}
}

// packages holds memory for compressed messages, up to mostKept bytes each.
var packages = sync.Pool{New: func() any { return new([]byte) }}

const mostKept = 1 << 20

// giveBack returns the memory of p, which may have grown out of packed.
func giveBack(packed *[]byte, p []byte) {
	if cap(p) <= mostKept {
		*packed = p
		packages.Put(packed)
	}
}
