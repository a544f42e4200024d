package simulated

import (
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

	// The kernel's mu guards what follows.
	closed   bool
	deadline [2]time.Time
	alarm    [2]*event
}

const reads, writes = 0, 1 // indices of deadline

var (
	_ net.Conn     = (*Conn)(nil)
	_ syscall.Conn = (*Conn)(nil)
)

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
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	err = c.await(reads, func() (err error) {
		if n, err = c.end.receive(p); n == 0 && err == nil && len(p) > 0 {
			err = io.EOF
		}
		return err
	})
	c.k.note("read", c.number.FD(), n)
	return n, c.opError("read", err)
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	for n < len(p) && err == nil {
		err = c.await(writes, func() error {
			m, err := c.end.send(p[n:])
			n += m
			return err
		})
	}
	c.k.note("write", c.number.FD(), n)
	return n, c.opError("write", err)
}

// await calls fn until it does not return syscall.EAGAIN, within the deadline. mu is held.
func (c *Conn) await(which int, fn func() error) error {
	for {
		switch {
		case c.closed:
			return net.ErrClosed
		case !c.deadline[which].IsZero() && !start.Add(c.k.now).Before(c.deadline[which]):
			return os.ErrDeadlineExceeded
		}
		if err := fn(); err != syscall.EAGAIN {
			return err
		}
		c.k.changed.Wait()
	}
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.k.closeFile(c.number, false)
	c.k.changed.Broadcast()
	return nil
}

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
