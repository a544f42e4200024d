package simulated

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Conn is a connection of a Kernel as a net.Conn: what HandOver and NewConn return. Its calls wait for the kernel, whose
// time somebody else has to move.
type Conn struct {
	k             *Kernel
	number        backend.Descriptor
	end           *end
	local, remote net.Addr
	owner         backend.ConnOwner

	// The kernel's mu guards what follows.
	closed   bool
	writing  int  // Writes that are at work
	ends     bool // the owner wants it closed
	deadline [2]time.Time
	alarm    [2]*event
}

const reads, writes = 0, 1 // indices of deadline

var _ backend.Conn = (*Conn)(nil)

func newConn(k *Kernel, d backend.Descriptor, e *end) *Conn {
	return &Conn{k: k, number: d, end: e, local: e.local.NetAddr(), remote: e.remote.NetAddr()}
}

// NewConn makes a connection between a net.Conn, whose socket a Transport can adopt, and a Peer.
func (k *Kernel) NewConn(network string) (*Conn, *Peer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	local := backend.Address{Kind: backend.UnixAddress}
	if network != "unix" {
		local, _ = parseAddress(network, "127.0.0.1:0")
		local = k.freshAddress(local)
	}
	f, d, err := k.newFile()
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	ours, theirs := k.pair(local, k.freshAddress(local))
	f.end = ours
	return newConn(k, d, ours), newPeer(k, theirs), nil
}

func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: backend.CallError(op, err)}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (n int, err error) {
	defer c.over()
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	err = c.await(reads, func() (err error) {
		if n, err = c.end.receive(p); n == 0 && err == nil && len(p) > 0 {
			err = io.EOF
		}
		return err
	})
	c.k.note("read", c.number.FD(), n)
	if c.owner.In != nil {
		c.owner.In.Add(uint64(n))
	}
	return n, c.opError("read", err)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	defer c.over()
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	c.writing++
	for n < len(p) && err == nil {
		err = c.await(writes, func() error {
			m, err := c.end.send(p[n:])
			n += m
			return err
		})
	}
	c.writing--
	c.k.changed.Broadcast()
	c.asks(writes, false)
	c.k.note("write", c.number.FD(), n)
	if c.owner.Out != nil {
		c.owner.Out.Add(uint64(n))
	}
	return n, c.opError("write", err)
}

// await calls fn until it does not return syscall.EAGAIN, within the deadline. mu is held.
func (c *Conn) await(which int, fn func() error) error {
	for {
		switch {
		case c.closed:
			return net.ErrClosed
		case c.late(which):
			return os.ErrDeadlineExceeded
		}
		if err := fn(); err != syscall.EAGAIN {
			return err
		}
		if c.asks(which, true) && which == reads {
			return net.ErrClosed
		}
		for c.idle(which) {
			c.k.changed.Wait()
		}
		if which == reads && c.asks(which, false) {
			return net.ErrClosed
		}
	}
}

// late reports whether a deadline has passed.
func (c *Conn) late(which int) bool {
	return !c.deadline[which].IsZero() && !start.Add(c.k.now).Before(c.deadline[which])
}

// idle reports whether a call has to go on waiting: nobody but the kernel, Close and a deadline end that.
func (c *Conn) idle(which int) bool {
	bit := readyIn
	if which == writes {
		bit = readyOut
	}
	return !c.closed && !c.late(which) && c.end.ready()&bit == 0
}

// asks tells the owner that a call waits, or goes on. It reports whether the Conn is to end. mu is held.
func (c *Conn) asks(which int, waits bool) bool {
	if c.owner.Waits == nil || !c.owner.Waits(which == writes, waits) {
		return false
	}
	c.ends = true
	return true
}

// over follows a call: it closes what is to end.
func (c *Conn) over() {
	c.k.mu.Lock()
	ends := c.ends && !c.closed
	c.k.mu.Unlock()
	if ends {
		_ = c.Finish()
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	if !c.closeOnce() {
		return c.opError("close", net.ErrClosed)
	}
	if c.owner.Closed != nil {
		c.owner.Closed()
	}
	return nil
}

// Finish implements backend.Conn.
func (c *Conn) Finish() error {
	c.k.mu.Lock()
	for c.writing > 0 && !c.closed {
		c.k.changed.Wait()
	}
	c.k.mu.Unlock()
	return c.Close()
}

func (c *Conn) closeOnce() bool {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return false
	}
	c.closed = true
	c.k.closeFile(c.number, false)
	c.k.changed.Broadcast()
	return true
}

// CloseRead implements backend.Conn: what has come and what still comes is dropped.
func (c *Conn) CloseRead() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.end.in, c.end.finCame = nil, true
	c.k.changed.Broadcast()
	return nil
}

// File implements backend.Conn. There is none.
func (c *Conn) File() (*os.File, error) { return nil, c.opError("file", errors.ErrUnsupported) }

// ReadFrom implements io.ReaderFrom.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// WriteTo implements io.WriterTo.
func (c *Conn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{c}) }

// CloseWrite shuts down the sending side.
func (c *Conn) CloseWrite() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	return c.opError("shutdown", c.end.finish())
}

// SetLinger is that of net.TCPConn: with 0 the close of the last descriptor resets the connection.
func (c *Conn) SetLinger(seconds int) error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.k.file(c.number).linger = seconds == 0
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn. The time is the kernel's.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(reads, t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(writes, t) }

func (c *Conn) setDeadline(which int, t time.Time) error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.deadline[which] = t
	if c.alarm[which] != nil {
		c.k.drop(c.alarm[which])
		c.alarm[which] = nil
	}
	if !t.IsZero() {
		c.alarm[which] = c.k.after(t.Sub(start.Add(c.k.now)), c.k.changed.Broadcast)
	}
	c.k.changed.Broadcast()
	return nil
}

// SyscallConn implements syscall.Conn. No system call knows the descriptor's number.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	return rawConn(c.number.FD()), nil
}
