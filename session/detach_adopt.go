package session

import (
	"net"

	"github.com/tandem-io/tandem/backend"
)

// awaitAdoption waits until the Conn is live, and returns why e cannot adopt it.
func (c *detached) awaitAdoption(e *Engine) error {
	if !c.isLive() && e.onLoop() {
		return c.opError("adopt", backend.ErrOnLoop)
	}
	if err := c.await("adopt", reads); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failureLocked()
}

// failureLocked returns why the Conn cannot go on as a stream. mu is held.
func (c *detached) failureLocked() error {
	switch {
	case c.closed:
		return c.opError("adopt", net.ErrClosed)
	case c.err != nil:
		return c.err
	}
	return c.broken
}

// surrender closes the Conn for its user and returns what it holds, which nobody reads or sends any longer. Conn is left
// open.
func (c *detached) surrender() (holdings, error) {
	c.mu.Lock()
	if err := c.failureLocked(); err != nil {
		c.mu.Unlock()
		return holdings{}, err
	}
	c.adopted = true
	c.interruptLocked()
	c.mu.Unlock()
	c.senders.Wait()
	c.writing.enter() // a Write that was interrupted has returned
	defer c.writing.leave()
	c.mu.Lock()
	c.tellLocked() // if send has sent all, or failed, and was stopped before it said so
	took, report := c.took, c.report
	h := holdings{unread: c.unread, files: c.files, unsent: c.rest, fin: c.shut, finSent: c.shut && !c.fin}
	h.report = func(n int, err error) { report(took+n, err) }
	err := c.broken
	c.unread, c.rest, c.files = nil, nil, nil
	c.mu.Unlock()
	if err != nil {
		c.takeBack(h)
	}
	return h, err
}

// takeBack undoes surrender: there is no stream.
func (c *detached) takeBack(h holdings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adopted, c.closed = false, false
	c.unread, c.rest, c.files = h.unread, h.unsent, h.files
	_ = c.Conn.SetReadDeadline(c.deadline[reads]) // fails only if Conn was closed below this Conn
	_ = c.Conn.SetWriteDeadline(c.deadline[writes])
	if len(c.rest) > 0 || c.fin {
		c.sendLocked()
	}
}
