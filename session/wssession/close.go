package wssession

import (
	"errors"
	"io"
	"net"
	"os"
	"unicode/utf8"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
)

// Close is CloseWith(websocket.StatusNormalClosure, "").
func (c *Conn) Close() error { return c.CloseWith(websocket.StatusNormalClosure, "") }

// CloseWith begins to close the connection: it sends a Close. Messages of the peer go on to arrive until it has answered
// with a Close of its own; then, or after CloseTimeout, the connection ends, and OnClose follows. After the first Close, also
// one that the peer has sent, it returns net.ErrClosed. Before OnOpen it gives the connection up. A code or a reason that a
// Close must not have is a *frame.Error; websocket.StatusNoStatus sends none. To end a connection without a word, use Abort
// of its stream. Any goroutine; it does not block.
func (c *Conn) CloseWith(code websocket.StatusCode, reason string) error {
	var room [websocket.MostReason + 2]byte
	p, err := websocket.AppendClose(room[:0], code, reason)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == connecting && c.stream != nil {
		return c.stream.Close()
	}
	if err := c.writeLocked(websocket.Frame{Opcode: websocket.Close, Fin: true, Payload: p}); err != nil {
		return err
	}
	c.state = closing
	s := c.stream
	s.After(c.options.CloseTimeout, func() { c.late(s) })
	return nil
}

// late ends a connection whose peer has not done its part in time.
func (c *Conn) late(s *session.Stream) {
	if !c.ended {
		c.ended, c.err = true, os.ErrDeadlineExceeded
	}
	_ = s.Close()
}

// sendClose sends a Close, if none was sent. An error shows in the end of the stream.
func (c *Conn) sendClose(code websocket.StatusCode, reason string) {
	var room [websocket.MostReason + 2]byte
	p, err := websocket.AppendClose(room[:0], code, reason)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.writeLocked(websocket.Frame{Opcode: websocket.Close, Fin: true, Payload: p})
	if c.state == open {
		c.state = closing
	}
}

// peerCloses follows the peer's Close. The server ends the connection; a client waits for that. RFC 6455, section 7.1.1.
func (c *Conn) peerCloses(s *session.Stream, p []byte) {
	closed, err := websocket.ParseClose(p)
	if err != nil {
		c.fail(s, err) // an Assembler does not let that through
		return
	}
	c.ended, c.err = true, closed
	c.sendClose(closed.Code, "")
	if c.client {
		s.After(c.options.CloseTimeout, func() { _ = s.Close() })
		return
	}
	_ = session.CloseInStages(s) // the client may still be sending
}

// fail ends the connection, because the peer has violated the protocol.
func (c *Conn) fail(s *session.Stream, err error) {
	c.giveUp(s, err)
	_ = session.CloseInStages(s)
}

// giveUp notes why the connection ends, and tells the peer.
func (c *Conn) giveUp(s *session.Stream, err error) {
	c.ended, c.err = true, err
	if code := websocket.CodeOf(err); code != websocket.StatusAbnormal {
		c.sendClose(code, reasonOf(err))
	}
}

// reasonOf describes err for a Close.
func reasonOf(err error) string {
	var wrong *frame.Error
	if !errors.As(err, &wrong) {
		return ""
	}
	reason := wrong.What[:min(len(wrong.What), websocket.MostReason)]
	for !utf8.ValidString(reason) {
		reason = reason[:len(reason)-1]
	}
	return reason
}

// closed follows the end of the stream.
func (c *Conn) closed(_ *session.Stream, err error) {
	inflating.forget(c.in)
	c.mu.Lock()
	c.state = closing
	c.mu.Unlock()
	var panicked *session.PanicError
	switch {
	case c.err != nil && !errors.As(err, &panicked):
		err = c.err
	case err == nil && c.eof:
		err = io.ErrUnexpectedEOF
	case err == nil:
		err = net.ErrClosed
	}
	c.ended = true
	c.handler.OnClose(c, err)
}

// drain follows that the Transport shuts down.
func (c *Conn) drain(s *session.Stream) {
	if h, ok := c.handler.(Drainer); ok {
		c.guarded(func() { h.OnDrain(c) })
		return
	}
	if err := c.CloseWith(websocket.StatusGoingAway, ""); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = s.Close() // else it is closing already
	}
}
