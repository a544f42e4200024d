package session

import (
	"errors"
	"net"
	"os"
	"time"
)

// sendPiece is how much of rest goes to the kernel at a time, so that progress shows.
const sendPiece = 256 << 10

// sendLocked has send finish what there is to do, once the connection is live. mu is held.
func (c *detached) sendLocked() {
	if c.isLive() && !c.sending { // else begin does
		c.sending = true
		c.senders.Go(c.send)
	}
}

// send sends what the stream had queued, shuts down and closes, as far as that was asked for, and then ends. A deadline
// of the user's stops it until it is moved: what is left stays in front of everything that is written later.
func (c *detached) send() {
	for {
		c.writing.enter()
		err := c.flush()
		c.writing.leave()
		if errors.Is(err, os.ErrDeadlineExceeded) && c.awaitDeadline() {
			continue
		}
		c.mu.Lock()
		if c.adopted { // what is left goes on from there
			c.sending = false
			c.mu.Unlock()
			return
		}
		if c.closed && len(c.rest) > 0 && c.broken == nil {
			c.mu.Unlock()
			c.finishClosed()
			c.mu.Lock()
		}
		c.tellLocked()
		if c.fin && c.broken == nil {
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite() // fails only if the connection has
		}
		c.fin = false
		if c.closed && !c.ended {
			c.ended = true
			// What nobody read would make the kernel answer the close with a reset, and so destroy what the peer has not
			// read yet.
			c.loop.Sockets.DiscardInput(c.Conn, defaultReadBufferLimit)
			_ = c.Conn.Close()
			files := c.files
			c.files = nil
			c.mu.Unlock()
			closeAll(files)
			c.mu.Lock()
		}
		if !c.closed || c.ended {
			c.sending = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// flush sends rest, and returns why it could not. writing is held.
func (c *detached) flush() error {
	for {
		c.mu.Lock()
		p, err, closed := c.rest, c.broken, c.closed
		c.mu.Unlock()
		if len(p) == 0 || err != nil || closed {
			return err
		}
		n, err := c.Conn.Write(p[:min(len(p), sendPiece)])
		c.advance(n, err)
		if err != nil {
			return err
		}
	}
}

// advance drops what was sent from rest, and notes an error that stays.
func (c *detached) advance(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took += n
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		c.broken = err
	}
}

// awaitDeadline waits until the write deadline that has passed is moved. It reports false if Close was called.
func (c *detached) awaitDeadline() bool {
	c.mu.Lock()
	closed, moved, deadline := c.closed, c.moved, c.deadline[writes]
	c.mu.Unlock()
	if closed {
		return false
	}
	if deadline.IsZero() || c.loop.Time.Now().Before(deadline) {
		return true // it was moved already
	}
	<-moved
	return !c.isClosed()
}

// finishClosed sends the rest of a connection that its user has closed, for as long as the peer takes any of it.
func (c *detached) finishClosed() {
	c.writing.enter()
	defer c.writing.leave()
	for {
		c.mu.Lock()
		p := c.rest
		c.mu.Unlock()
		if len(p) == 0 {
			return
		}
		limit := time.Time{}
		if c.closeTimeout > 0 {
			limit = c.loop.Time.Now().Add(c.closeTimeout)
		}
		_ = c.Conn.SetWriteDeadline(limit)
		n, err := c.Conn.Write(p[:min(len(p), sendPiece)])
		c.advance(n, err)
		if err != nil && n == 0 {
			c.mu.Lock()
			c.broken = err
			c.mu.Unlock()
			resetConn(c.Conn) // else the peer would take what it got for all there was
			return
		}
	}
}

// tellLocked reports what became of rest, once. mu is held.
func (c *detached) tellLocked() {
	if len(c.rest) > 0 && c.broken == nil {
		return
	}
	c.report(c.took, c.broken)
	c.report = func(int, error) {}
}

// resetConn has the next Close of c send a reset.
func resetConn(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = t.SetLinger(0)
	}
}
