package session

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// secured is the net.Conn that Detach returns for a stream with TLS. It goes on with the TLS of the stream, over the
// connection below.
//
//	Read  ◄── plain: what the stream had decrypted ◄── Conn of crypto/tls ◄── tlsWire ◄── below: records first that it held
//	Write ──► Conn of crypto/tls ──► tlsWire ──► below
//
// Alerts, and answers of a connection that is closing, go behind what below has to send, without waiting.
type secured struct {
	below *detached
	tls   *tlsLayer
	busy  atomic.Int32 // writes that are running, those of records among them
	quiet atomic.Bool  // what is written now does not wait

	mu     sync.Mutex // guards what follows
	plain  []byte
	early  []byte // written on the loop before the connection was live
	live   bool   // it has been handed over
	shut   bool   // CloseWrite was called
	closed bool   // Close was called
}

// handOver encrypts what is still to be sent, and gives the Conn what the stream holds. It returns the records that are not
// decrypted, and whether sending has ended. Loop only; the driver has let go of the connection.
func (t *tlsLayer) handOver(plain, unsent []byte) (records []byte, fin bool) {
	s, d := t.stream, t.secured
	t.hands(true)
	done := false
	s.call(inTLS, func() {
		for more := true; more; {
			_, _ = t.conn.Write(unsent) // the wire takes everything
			unsent, more = d.next(plain, fin)
			if more && len(unsent) == 0 {
				_ = t.conn.CloseWrite()
				fin = true
			}
		}
		done = true
	})
	t.hands(false)
	if !done {
		s.life.handOff().lose(errNotTold)
		t.over.Store(d)
	}
	records = bytes.Clone(t.in.bytes())
	t.in.drop()
	return records, fin
}

// hands is called when the stream begins to hand its connection over, and when it has.
func (t *tlsLayer) hands(over bool) {
	t.stream.mu.Lock()
	t.handing = over
	t.stream.mu.Unlock()
}

// next returns what was written meanwhile, or nothing and true if close_notify is due. When there is nothing left to do it
// makes the Conn live.
func (d *secured) next(plain []byte, notified bool) (early []byte, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	early, d.early = d.early, nil
	if len(early) > 0 || (d.shut || d.closed) && !notified {
		return early, true
	}
	d.plain, d.live = plain, true
	d.tls.over.Store(d)
	return nil, false
}

// write is Write of the wire.
func (d *secured) write(p []byte) (int, error) {
	d.busy.Add(1)
	defer d.busy.Add(-1)
	if d.quiet.Load() {
		return d.below.append(p)
	}
	return d.below.Write(p)
}

// append queues p behind what is to be sent, without waiting.
func (c *detached) append(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return 0, c.broken
	}
	switch {
	case c.shut:
	case !c.isLive():
		c.early = append(c.early, p...)
	default:
		c.rest = append(c.rest, p...)
		c.sendLocked()
	}
	return len(p), nil
}

// Read reads what the stream had decrypted first.
func (d *secured) Read(p []byte) (int, error) {
	if err := d.below.await("read", reads); err != nil {
		return 0, err
	}
	if n, done, err := d.readPlain(p); done {
		return n, err
	}
	return d.tls.conn.Read(p)
}

// readPlain reads what was decrypted. done is false if there is nothing.
func (d *secured) readPlain(p []byte) (n int, done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.plain) == 0 {
		return 0, false, nil
	}
	d.below.mu.Lock()
	closed, late := d.below.closed, d.below.passedLocked(reads)
	d.below.mu.Unlock()
	switch {
	case closed:
		return 0, true, d.below.opError("read", net.ErrClosed)
	case late:
		return 0, true, d.below.opError("read", os.ErrDeadlineExceeded)
	}
	return takeFront(p, &d.plain), true, nil
}

// Write encrypts and sends p. A deadline that ends a Write in the middle of a record ends writing for good, as with
// crypto/tls.
func (d *secured) Write(p []byte) (int, error) {
	if d.writeEarly(p) {
		return len(p), nil
	}
	if err := d.below.awaitWritable(); err != nil {
		return 0, err
	}
	d.busy.Add(1)
	defer d.busy.Add(-1)
	if err := d.mayWrite(); err != nil {
		return 0, err
	}
	if err := d.below.drain(); err != nil { // before anything is encrypted, so that a deadline ends this Write alone
		return 0, d.below.writeError(err)
	}
	n, err := d.tls.conn.Write(p)
	return n, d.below.writeError(err)
}

// drain sends what the stream had queued, until the deadline.
func (c *detached) drain() error {
	c.writing.enter()
	defer c.writing.leave()
	if err := c.flush(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passedLocked(writes) {
		return c.opError("write", os.ErrDeadlineExceeded)
	}
	return nil
}

// mayWrite returns why nothing can be written any longer, if that is so.
func (d *secured) mayWrite() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return d.below.opError("write", net.ErrClosed)
	case d.shut:
		return d.below.opError("write", syscall.EPIPE)
	}
	return nil
}

// writeEarly keeps what is written on a loop, which cannot wait, before the connection is live.
func (d *secured) writeEarly(p []byte) bool {
	if d.below.isLive() || !d.below.loop.engine.onLoop() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live || d.closed || d.shut {
		return false
	}
	d.early = append(d.early, p...)
	return true
}

// CloseWrite says close_notify and shuts down the sending side, behind what was written.
func (d *secured) CloseWrite() error {
	d.mu.Lock()
	closed, shut, live := d.closed, d.shut, d.live
	d.shut = true
	d.mu.Unlock()
	switch {
	case closed:
		return d.below.opError("close", net.ErrClosed)
	case shut || !live: // then handOver does it
		return nil
	}
	d.notify(true)
	return d.below.CloseWrite()
}

// notify says close_notify. With waits it comes behind a Write that is running, else in that case not at all.
func (d *secured) notify(waits bool) {
	if d.busy.Load() == 0 || !waits {
		d.quiet.Store(true)
		defer d.quiet.Store(!waits)
	}
	if waits || d.busy.Load() == 0 {
		_ = d.tls.conn.CloseWrite() // fails only if writing has
	}
}

// Close says close_notify, unless a Write is running, and closes the connection when everything is sent. It does not wait
// for that. A peer that takes nothing for the stream's CloseTimeout sees a reset.
func (d *secured) Close() error {
	d.mu.Lock()
	closed, shut, live := d.closed, d.shut, d.live
	d.closed = true
	d.mu.Unlock()
	if live && !shut && !closed {
		d.notify(false)
	}
	return d.below.Close()
}

// ConnectionState returns what is known of the TLS.
func (d *secured) ConnectionState() tls.ConnectionState { return d.tls.conn.ConnectionState() }

// LocalAddr implements net.Conn.
func (d *secured) LocalAddr() net.Addr { return d.below.LocalAddr() }

// RemoteAddr implements net.Conn.
func (d *secured) RemoteAddr() net.Addr { return d.below.RemoteAddr() }

// SetDeadline implements net.Conn.
func (d *secured) SetDeadline(t time.Time) error { return d.below.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (d *secured) SetReadDeadline(t time.Time) error { return d.below.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (d *secured) SetWriteDeadline(t time.Time) error { return d.below.SetWriteDeadline(t) }
