package portable

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// conn is a backend.Conn: a connection of package net whose owner learns when it waits. Package net alone cannot tell
// that: then a call waits from its beginning to its end.
type conn struct {
	netConn
	f      *file
	plain  bool
	owner  backend.ConnOwner
	closed atomic.Bool
	rd, wr half
}

// half is one direction of a conn.
type half struct {
	mu   sync.Mutex            // held by the one call that is at work; guards what follows
	call func(fd uintptr) bool // what RawConn.Read or Write calls
	p    []byte                // what it works on
	n    int                   // bytes so far
	err  error                 // of the kernel
	wait backend.ConnWait
	one  [1][]byte // what is sent
}

var _ backend.Conn = (*conn)(nil)

// Conn implements backend.Sockets.
func (s *sockets) Conn(d backend.Descriptor, owner backend.ConnOwner) (backend.Conn, error) {
	f := s.remove(d)
	if !f.connected() {
		return nil, errNoSocket
	}
	c := &conn{netConn: f.conn, f: f, plain: s.plain, owner: owner}
	c.rd.call, c.wr.call, c.wr.wait.Sending = c.receive, c.send, true
	return c, nil
}

// receive is for RawConn.Read, which waits if it returns false.
func (c *conn) receive(fd uintptr) bool {
	h := &c.rd
	if h.err = h.wait.End(&c.owner); h.err != nil {
		return true
	}
	n, err := receiveOnce(fd, h.p)
	if err == errAgain {
		return c.waits(h)
	}
	h.n, h.err = n, err
	return true
}

// send is for RawConn.Write, which waits if it returns false.
func (c *conn) send(fd uintptr) bool {
	h := &c.wr
	for {
		h.one[0] = h.p[h.n:]
		n, err := sendOnce(fd, h.one[:])
		if err == errAgain {
			return c.waits(h)
		}
		h.n += n
		if err != nil || h.n == len(h.p) {
			h.err = err
			return true
		}
	}
}

// waits tells the owner that the call is about to wait. It reports whether the call is over instead.
func (c *conn) waits(h *half) (over bool) {
	h.err = h.wait.Begin(&c.owner)
	return h.err != nil
}

// move is one call in one direction.
func (c *conn) move(h *half, p []byte) (int, error) {
	h.mu.Lock()
	h.p, h.n, h.err = p, 0, nil
	var err error
	switch {
	case c.plain:
		c.movePlain(h)
	case h == &c.rd:
		err = c.f.raw.Read(h.call)
	default:
		err = c.f.raw.Write(h.call)
	}
	if over := h.wait.End(&c.owner); over != nil {
		h.err, err = over, nil
	}
	n, ends := h.n, h.wait.Ends
	if err == nil {
		err = h.err
	}
	h.p, h.one[0], h.wait.Ends = nil, nil, false
	h.mu.Unlock()
	if ends {
		_ = c.Finish()
	}
	return n, err
}

func (c *conn) movePlain(h *half) {
	if c.waits(h) {
		return
	}
	if h == &c.rd {
		h.n, h.err = c.netConn.Read(h.p)
	} else {
		h.n, h.err = c.netConn.Write(h.p)
	}
	if h.n > 0 { // what came is not lost, whatever the owner wants
		_ = h.wait.End(&c.owner)
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		if c.closed.Load() {
			return 0, c.fail("read", net.ErrClosed)
		}
		return 0, nil
	}
	n, err := c.move(&c.rd, p)
	c.owner.In.Add(uint64(n))
	return n, c.fail("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.move(&c.wr, p)
	c.owner.Out.Add(uint64(n))
	return n, c.fail("write", err)
}

// fail is err as package net tells it.
func (c *conn) fail(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = os.ErrDeadlineExceeded
	case c.closed.Load():
		err = net.ErrClosed
	}
	return c.opError(op, backend.CallError(op, step(err)))
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.owner.Network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return c.fail("close", net.ErrClosed)
	}
	err := c.netConn.Close()
	if c.owner.Closed != nil {
		c.owner.Closed()
	}
	return err
}

// Finish implements backend.Conn.
func (c *conn) Finish() error {
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	return c.Close()
}

// ReadFrom implements io.ReaderFrom.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(struct{ io.Writer }{c}, r)
	return n, c.transferError("readfrom", err)
}

// WriteTo implements io.WriterTo.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, struct{ io.Reader }{c})
	return n, c.transferError("writeto", err)
}

// transferError is the error of a transfer as package net tells it: around that of a TCP connection there is another.
func (c *conn) transferError(op string, err error) error {
	if _, ok := c.netConn.(*net.TCPConn); !ok || err == nil {
		return err
	}
	return c.opError(op, err)
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c.f.raw}, nil }

// rawConn hides what package os would move bytes by, past the conn.
type rawConn struct{ syscall.RawConn }

// SetLinger implements backend.Conn.
func (c *conn) SetLinger(seconds int) error { return setLinger(c.netConn, seconds) }
