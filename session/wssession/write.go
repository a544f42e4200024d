package wssession

import (
	"fmt"
	"net"
	"sync"
	"syscall"

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
	packed, smaller := c.options.pack(c.options.Compression && c.compresses(), m)
	if packed != nil {
		defer giveBack(packed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f, after, err := c.out.frame(m)
	if err != nil {
		return err
	}
	if smaller && f.Opcode != websocket.Continuation {
		f.Payload, f.RSV1 = *packed, true
	}
	if err := c.writeLocked(f); err != nil {
		return err
	}
	c.out = after
	return nil
}

// compresses reports whether compression was agreed upon, at any time.
func (c *Conn) compresses() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.codec.Compression
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
	if !c.client && len(f.Payload) >= largeFrame {
		return c.writeLarge(f)
	}
	return session.WriteFrame(c.stream, c.codec, f)
}

// largeFrame is the size of a payload from which on it is worth not to copy it behind its header. In bytes.
const largeFrame = 16 << 10

// pieces are what a large frame is written from.
type pieces struct {
	header  [16]byte
	vectors [2][]byte
}

var allPieces = sync.Pool{New: func() any { return new(pieces) }}

// writeLarge sends a frame of a server, header and payload together. mu is held.
func (c *Conn) writeLarge(f websocket.Frame) error {
	p := allPieces.Get().(*pieces)
	header, err := c.codec.AppendHeader(p.header[:0], f)
	if err == nil {
		p.vectors = [2][]byte{header, f.Payload}
		_, err = c.stream.Writev(p.vectors[:])
	}
	p.vectors = [2][]byte{}
	allPieces.Put(p)
	return err
}
