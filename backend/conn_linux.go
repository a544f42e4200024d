package backend

import (
	"errors"
	"fmt"
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
	wait ConnWait
}

var _ Conn = (*conn)(nil)

// Conn implements Sockets.
func (Linux) Conn(d Descriptor, owner ConnOwner) (Conn, error) {
	local, remote := LocalAddress(d.FD()), RemoteAddress(d.FD())
	if remote.NetAddr() == nil { // the peer has reset it already
		remote = local.Unspecified()
	}
	c := &conn{local: connAddr(local), remote: connAddr(remote), owner: owner}
	c.file = os.NewFile(uintptr(d.FD()), fmt.Sprintf("%s:%v->%v", owner.Network, c.local, c.remote))
	// Without a place in Go's poller, which needs memory of the kernel's, no call could wait; only a deadline shows it.
	err := c.file.SetDeadline(time.Time{})
	if err == nil {
		c.raw, err = c.file.SyscallConn()
	}
	if err != nil {
		_ = c.file.Close()
		return nil, fmt.Errorf("the connection cannot be watched: %w", err)
	}
	c.rd.call, c.wr.call, c.wr.wait.Sending = c.receive, c.send, true
	return c, nil
}

// connAddr is an address as package net has it: that of a Unix socket without a name is "@".
func connAddr(a Address) net.Addr {
	addr := a.NetAddr()
	if u, ok := addr.(*net.UnixAddr); ok && u.Name == "" {
		return &net.UnixAddr{Name: "@", Net: u.Net}
	}
	return addr
}

// receive is one receive, for RawConn.Read, which waits if it returns false.
func (c *conn) receive(fd uintptr) bool {
	h := &c.rd
	if h.err = h.wait.End(&c.owner); h.err != nil {
		return true
	}
	if h.step != nil {
		return c.stepped(h, fd)
	}
	n, err := Recv(int(fd), h.p)
	if err == unix.EAGAIN {
		return c.waits(h)
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
			return c.waits(h)
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
	if !over {
		return c.waits(h)
	}
	h.err = err
	return true
}

// waits tells the owner that the call is about to wait. It reports whether the call is over instead.
func (c *conn) waits(h *half) (over bool) {
	h.err = h.wait.Begin(&c.owner)
	return h.err != nil
}

// begin prepares a call. It holds mu until end.
func (h *half) begin(p []byte, step func(fd int) (bool, error)) {
	h.mu.Lock()
	h.p, h.n, h.err, h.step = p, 0, nil, step
}

// end returns what the call has done. waiting is the error of RawConn's method.
func (c *conn) end(h *half, waiting error) (int, error) {
	if err := h.wait.End(&c.owner); err != nil {
		h.err, waiting = err, nil
	}
	n, err, ends := h.n, h.err, h.wait.Ends
	h.p, h.step, h.wait.Ends = nil, nil, false
	h.mu.Unlock()
	if waiting != nil {
		err = c.ofFile(waiting)
	}
	if ends {
		_ = c.Finish()
	}
	return n, err
}

// ofFile is an error of package os as package net would tell it.
func (c *conn) ofFile(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case c.closed.Load():
		return net.ErrClosed
	}
	return err
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
	n, err := c.end(&c.rd, c.raw.Read(c.rd.call))
	if n > 0 {
		c.owner.In.Add(uint64(n))
	}
	return n, c.fail("read", err)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.wr.begin(p, nil)
	n, err := c.end(&c.wr, c.raw.Write(c.wr.call))
	if n > 0 {
		c.owner.Out.Add(uint64(n))
	}
	return n, c.fail("write", err)
}

// fail is err as package net tells it.
func (c *conn) fail(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.owner.Network, Source: c.local, Addr: c.remote, Err: CallError(op, err)}
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
		return c.fail("close", errors.Unwrap(err))
	}
	return nil
}

// Finish implements Conn.
func (c *conn) Finish() error {
	c.wr.mu.Lock()
	defer c.wr.mu.Unlock()
	return c.Close()
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
		err = c.ofFile(outer)
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

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.deadlineError(c.file.SetDeadline(t)) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.deadlineError(c.file.SetReadDeadline(t)) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.deadlineError(c.file.SetWriteDeadline(t))
}

func (c *conn) deadlineError(err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: "set", Net: c.owner.Network, Addr: c.local, Err: c.ofFile(err)}
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

// rawConn has the errors of package net's.
type rawConn struct{ c *conn }

// Control implements syscall.RawConn.
func (r rawConn) Control(f func(fd uintptr)) error {
	if err := r.c.ofFile(r.c.raw.Control(f)); err != nil {
		return &net.OpError{Op: "raw-control", Net: r.c.owner.Network, Addr: r.c.local, Err: err}
	}
	return nil
}

// Read implements syscall.RawConn.
func (r rawConn) Read(f func(fd uintptr) (done bool)) error {
	return r.c.fail("raw-read", r.c.ofFile(r.c.raw.Read(f)))
}

// Write implements syscall.RawConn.
func (r rawConn) Write(f func(fd uintptr) (done bool)) error {
	return r.c.fail("raw-write", r.c.ofFile(r.c.raw.Write(f)))
}
