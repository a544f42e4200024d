package backend

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxCall is how many bytes one system call moves at most, as in package net.
const maxCall = 1 << 30

// conn is a Conn whose descriptor is in Go's own poller. It makes its system calls in functions that are made once, by
// RawSyscall: they cannot block, and the scheduler need not know of them.
type conn struct {
	file          *os.File
	raw           syscall.RawConn
	network       string
	local, remote net.Addr
	owner         ConnOwner
	closed        atomic.Bool
	rd, wr        half
}

// half is one direction of a conn.
type half struct {
	mu   sync.Mutex                 // held by the one call that is at work; guards what follows
	call func(fd uintptr) bool      // what RawConn.Read or Write calls
	p    []byte                     // what it works on
	n    int                        // bytes so far
	err  error                      // of the kernel
	step func(fd int) (bool, error) // of a transfer by the kernel; nil: receive into p, or send it
}

var _ Conn = (*conn)(nil)

// Conn implements Sockets.
func (Linux) Conn(d Descriptor, owner ConnOwner) (Conn, error) {
	c := &conn{network: "tcp", local: LocalAddress(d.FD()).NetAddr(), remote: RemoteAddress(d.FD()).NetAddr(), owner: owner}
	if _, ok := c.local.(*net.UnixAddr); ok {
		c.network = "unix"
	}
	if c.remote == nil { // the peer has reset it already
		c.remote = LocalAddress(d.FD()).Unspecified().NetAddr()
	}
	c.file = os.NewFile(uintptr(d.FD()), c.network)
	raw, err := c.file.SyscallConn()
	if err != nil {
		_ = c.file.Close()
		return nil, err
	}
	c.raw = raw
	c.rd.call, c.wr.call = c.receive, c.send
	return c, nil
}

// receive is one receive, for RawConn.Read, which waits if it returns false.
func (c *conn) receive(fd uintptr) bool {
	h := &c.rd
	if h.step != nil {
		return c.stepped(h, fd)
	}
	n, err := Recv(int(fd), h.p)
	if err == unix.EAGAIN {
		if c.owner.Waits != nil && c.owner.Waits() {
			h.err = net.ErrClosed
			return true
		}
		return false
	}
	if h.n, h.err = n, err; n == 0 && err == nil {
		h.err = io.EOF
	}
	return true
}

// send sends all of p, for RawConn.Write, which waits if it returns false.
func (c *conn) send(fd uintptr) bool {
	h := &c.wr
	if h.step != nil {
		return c.stepped(h, fd)
	}
	for {
		n, err := Send(int(fd), h.p[h.n:min(len(h.p), h.n+maxCall)])
		if err == unix.EAGAIN {
			return false
		}
		h.n += n
		if err != nil || h.n == len(h.p) {
			h.err = err
			return true
		}
	}
}

func (c *conn) stepped(h *half, fd uintptr) bool {
	over, err := h.step(int(fd))
	h.err = err
	return over
}

// begin prepares a call. It holds mu until end.
func (h *half) begin(p []byte, step func(fd int) (bool, error)) {
	h.mu.Lock()
	h.p, h.n, h.err, h.step = p, 0, nil, step
}

// end returns what the call has done.
func (h *half) end(waiting error) (int, error) {
	n, err := h.n, h.err
	if waiting != nil {
		err = waiting
	}
	h.p, h.step = nil, nil
	h.mu.Unlock()
	return n, err
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		if c.closed.Load() {
			return 0, c.fail("read", net.ErrClosed)
		}
		return 0, nil
	}
	c.rd.begin(p[:min(len(p), maxCall)], nil)
	n, err := c.rd.end(c.raw.Read(c.rd.call))
	if n > 0 {
		c.owner.In.Add(uint64(n))
	}
	return n, c.fail("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.wr.begin(p, nil)
	n, err := c.wr.end(c.raw.Write(c.wr.call))
	if n > 0 {
		c.owner.Out.Add(uint64(n))
	}
	return n, c.fail("write", err)
}

// fail is err as package net tells it.
func (c *conn) fail(op string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = os.ErrDeadlineExceeded
	case c.closed.Load():
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: c.network, Source: c.local, Addr: c.remote, Err: CallError(op, err)}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return c.fail("close", net.ErrClosed)
	}
	err := c.file.Close()
	if c.owner.Closed != nil {
		c.owner.Closed()
	}
	if err != nil {
		return &net.OpError{Op: "close", Net: c.network, Source: c.local, Addr: c.remote, Err: errors.Unwrap(err)}
	}
	return nil
}

// CloseRead shuts down the receiving direction.
func (c *conn) CloseRead() error { return c.shutDown(unix.SHUT_RD) }

// CloseWrite shuts down the sending direction.
func (c *conn) CloseWrite() error { return c.shutDown(unix.SHUT_WR) }

func (c *conn) shutDown(how int) error {
	return c.control("close", "shutdown", func(fd int) error { return rawShutdown(fd, how) })
}

// control calls f with the descriptor, as a step that has a name, of an operation.
func (c *conn) control(op, step string, f func(fd int) error) (err error) {
	if outer := c.raw.Control(func(fd uintptr) { err = CallError(step, f(int(fd))) }); outer != nil {
		err = outer
	}
	return c.fail(op, err)
}

// SetLinger implements Conn.
func (c *conn) SetLinger(seconds int) error {
	l := unix.Linger{Linger: int32(max(seconds, 0))}
	if seconds >= 0 {
		l.Onoff = 1
	}
	return c.control("set", "setsockopt", func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l)
	})
}

// File implements Conn.
func (c *conn) File() (f *os.File, err error) {
	err = c.control("file", "dup", func(fd int) error {
		own, err := Duplicate(fd)
		if err == nil {
			f = os.NewFile(uintptr(own), c.file.Name())
		}
		return err
	})
	return f, err
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if c.closed.Load() {
		return nil, c.fail("raw", net.ErrClosed)
	}
	return c.raw, nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.fail("set", c.file.SetDeadline(t)) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.fail("set", c.file.SetReadDeadline(t)) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.fail("set", c.file.SetWriteDeadline(t)) }
