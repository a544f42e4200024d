package session

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// detached is the net.Conn that Detach returns: a connection of package net with bytes in front of it, both ways.
//
//	Read  ◄── unread: what the stream had received ◄── Conn
//	Write ──► rest: what the stream had queued ──► Conn, by send, which goes on by itself
type detached struct {
	net.Conn
	loop          *loop
	closeTimeout  time.Duration
	local, remote net.Addr
	layer         func() (unread, unsent []byte) // returns what the layer above the stream holds; called once
	live          chan struct{}                  // closed when the loop has handed the connection over

	reading sync.Mutex // held by the one Read that looks at what is unread
	writing gate       // held while bytes go to Conn: rest goes first

	mu       sync.Mutex // guards what follows
	unread   []byte
	files    []*os.File // that came with it, and nobody has taken
	rest     []byte
	early    []byte // written on the loop before the connection was live
	err      error  // of the connection, behind what is unread and what the kernel still has
	lost     bool   // bytes behind what is unread are gone
	broken   error  // of sending, for good
	fin      bool   // shut down sending behind rest
	shut     bool   // CloseWrite was called
	deaf     bool   // CloseRead was called
	closed   bool   // Close was called
	adopted  bool   // and the socket goes on as a Stream, with what is held here
	ended    bool   // Conn is closed
	sending  bool   // send runs
	deadline [2]time.Time
	moved    chan struct{}    // closed when a deadline is set, or Close is called
	senders  sync.WaitGroup   // send, if it runs
	took     int              // bytes of rest that the kernel took
	report   func(int, error) // told what became of rest: how many bytes of it the kernel took, and why no more
}

const reads, writes = 0, 1 // indices of deadline

// gate is a lock whose holder may wait for the network. Unlike a sync.Mutex it may be waited for in a bubble of
// testing/synctest: time goes on there.
type gate chan struct{}

func (g gate) enter() { g <- struct{}{} }
func (g gate) leave() { <-g }

func newDetached(conn net.Conn, s *Stream) *detached {
	return &detached{
		Conn: conn, loop: s.loop, closeTimeout: s.opts.CloseTimeout, local: s.ends.Local().NetAddr(), remote: s.ends.Remote().NetAddr(),
		shut: s.tx.finWant, writing: make(gate, 1), live: make(chan struct{}), moved: make(chan struct{}), report: func(int, error) {},
	}
}

// isLive reports whether the loop has handed the connection over.
func (c *detached) isLive() bool {
	select {
	case <-c.live:
		return true
	default:
		return false
	}
}

// fail notes why the connection failed before it was handed over.
func (c *detached) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// lose notes that the connection could not be handed over as a whole, because the loop has died or the layer above has
// panicked: bytes are lost in both directions.
func (c *detached) lose(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.broken, c.lost, c.early = c.opError("read", cause), c.opError("write", cause), true, nil
	resetConn(c.Conn)
}

// begin makes the connection live. report is called once, when rest is sent or cannot be.
func (c *detached) begin(unread, rest []byte, fin bool, report func(int, error)) {
	c.mu.Lock()
	if c.lost {
		rest = nil
	}
	if !c.deaf {
		c.unread = unread
	}
	c.rest, c.report = append(rest, c.early...), report
	c.early = nil
	c.fin = c.fin || fin
	c.shut = c.shut || fin
	busy := len(c.rest) > 0 || c.fin || c.closed
	broken := c.broken
	close(c.live)
	if busy {
		c.sendLocked()
	}
	c.mu.Unlock()
	if !busy {
		report(0, broken)
	}
}

// NetConn returns the Conn below, which is behind the bytes that wait here.
func (c *detached) NetConn() net.Conn { return c.Conn }

// LocalAddr returns the address of this end.
func (c *detached) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the peer.
func (c *detached) RemoteAddr() net.Addr { return c.remote }

// SyscallConn implements syscall.Conn.
func (c *detached) SyscallConn() (syscall.RawConn, error) { return c.Conn.(syscall.Conn).SyscallConn() }

func (c *detached) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// await waits until the connection is live, or the deadline of one direction passes, or Close is called.
func (c *detached) await(op string, direction int) error {
	for {
		c.mu.Lock()
		closed, deadline, moved := c.closed, c.deadline[direction], c.moved
		c.mu.Unlock()
		if closed {
			return c.opError(op, net.ErrClosed)
		}
		if c.isLive() {
			return nil
		}
		if c.loop.engine.onLoop() { // two loops could wait for each other
			return c.opError(op, backend.ErrOnLoop)
		}
		var passed <-chan struct{}
		if !deadline.IsZero() {
			var stop func() bool
			passed, stop = backend.After(c.loop.Time, deadline.Sub(c.loop.Time.Now()))
			defer stop()
		}
		select {
		case <-c.live:
		case <-moved:
		case <-passed:
			return c.opError(op, os.ErrDeadlineExceeded)
		}
	}
}

// Read reads what the stream had received first.
func (c *detached) Read(p []byte) (int, error) {
	if err := c.await("read", reads); err != nil {
		return 0, err
	}
	if n, done, err := c.readWaiting(p); done {
		return n, err
	}
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.awaitSender()
	}
	return n, c.readError(err)
}

// awaitSender waits until send has noted why the connection failed, if it has: it may be about to.
func (c *detached) awaitSender() {
	c.mu.Lock()
	sending := c.sending
	c.mu.Unlock()
	if sending && c.loop.Sockets.HungUp(c.Conn) { // so that no Write of send's waits for the peer
		c.writing.enter()
		defer c.writing.leave()
	}
}

// readError is the error of a Read of Conn that the user gets: also the one that the loop has taken from the socket.
func (c *detached) readError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) && !c.isClosed() {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed && err != io.EOF:
		return c.opError("read", net.ErrClosed)
	case c.err != nil:
		return c.err
	case err == io.EOF && c.broken != nil && !backend.IsBrokenPipe(c.broken):
		return c.opError("read", errors.Unwrap(c.broken)) // send has taken it from the socket, and told nobody
	}
	return err
}

// readWaiting reads what is in front of the Conn. done is false if there is nothing.
func (c *detached) readWaiting(p []byte) (n int, done bool, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, true, c.opError("read", net.ErrClosed)
	case len(c.unread) == 0 && !c.lost:
		return 0, false, nil
	case c.passedLocked(reads):
		return 0, true, c.opError("read", os.ErrDeadlineExceeded)
	case len(c.unread) == 0:
		return 0, true, c.err
	}
	return takeFront(p, &c.unread), true, nil
}

// takeFront moves bytes from the front of b to p. When b is empty its memory is let go of.
func takeFront(p []byte, b *[]byte) int {
	n := copy(p, *b)
	if *b = (*b)[n:]; len(*b) == 0 {
		*b = nil
	}
	return n
}

// passedLocked reports whether the deadline of a direction has passed. mu is held.
func (c *detached) passedLocked(direction int) bool {
	d := c.deadline[direction]
	return !d.IsZero() && !c.loop.Time.Now().Before(d)
}

func (c *detached) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Write sends p behind what the stream had queued.
func (c *detached) Write(p []byte) (int, error) {
	if c.writeEarly(p) {
		return len(p), nil
	}
	if err := c.awaitWritable(); err != nil {
		return 0, err
	}
	c.writing.enter()
	defer c.writing.leave()
	if err := c.flush(); err != nil {
		return 0, c.writeError(err)
	}
	c.mu.Lock()
	closed, shut := c.closed, c.shut
	c.mu.Unlock()
	switch {
	case closed:
		return 0, c.opError("write", net.ErrClosed)
	case shut:
		return 0, c.opError("write", syscall.EPIPE)
	}
	n, err := c.Conn.Write(p)
	return n, c.writeError(err)
}

// awaitWritable waits until the connection is live. For one whose sending side was shut down before there is nothing to
// wait for.
func (c *detached) awaitWritable() error {
	c.mu.Lock()
	shut := c.shut && !c.closed
	c.mu.Unlock()
	if shut && !c.isLive() {
		return c.opError("write", syscall.EPIPE)
	}
	return c.await("write", writes)
}

// writeError is the error of a Write of Conn that the user gets. Close interrupts it by a deadline.
func (c *detached) writeError(err error) error {
	if err != nil && c.isClosed() {
		return c.opError("write", net.ErrClosed)
	}
	return err
}

// writeEarly keeps what is written on a loop, which cannot wait, before the connection is live.
func (c *detached) writeEarly(p []byte) bool {
	if c.isLive() || !c.loop.engine.onLoop() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isLive() || c.closed || c.shut {
		return false
	}
	c.early = append(c.early, p...)
	return true
}

// CloseWrite shuts down the sending side, behind what the stream had queued.
func (c *detached) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if c.shut {
		return nil
	}
	c.shut, c.fin = true, true
	c.sendLocked()
	return nil
}

// CloseRead shuts down the receiving side. What is unread is dropped.
func (c *detached) CloseRead() error {
	c.mu.Lock()
	c.unread, c.deaf = nil, true
	c.mu.Unlock()
	if r, ok := c.Conn.(interface{ CloseRead() error }); ok {
		return r.CloseRead()
	}
	return nil
}

// Close closes the connection when what the stream had queued is sent. It does not wait for that. A peer that takes
// nothing for the stream's CloseTimeout sees a reset.
func (c *detached) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.interruptLocked()
	c.sendLocked()
	return nil
}

// interruptLocked closes the Conn for its user, and ends a Read or Write that is running. mu is held.
func (c *detached) interruptLocked() {
	c.closed = true
	c.movedLocked()
	_ = c.Conn.SetDeadline(time.Unix(1, 0))
}

// SetDeadline implements net.Conn.
func (c *detached) SetDeadline(t time.Time) error { return c.setDeadline(t, reads, writes) }

// SetReadDeadline implements net.Conn.
func (c *detached) SetReadDeadline(t time.Time) error { return c.setDeadline(t, reads) }

// SetWriteDeadline implements net.Conn.
func (c *detached) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, writes) }

func (c *detached) setDeadline(t time.Time, directions ...int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range directions {
		c.deadline[d] = t
		set := c.Conn.SetReadDeadline
		if d == writes {
			set = c.Conn.SetWriteDeadline
		}
		if err := set(t); err != nil {
			return err
		}
	}
	c.movedLocked()
	return nil
}

// movedLocked wakes whoever waits for a deadline. mu is held.
func (c *detached) movedLocked() {
	close(c.moved)
	c.moved = make(chan struct{})
}
