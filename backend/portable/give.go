package portable

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Adopt implements backend.Sockets.
func (s *sockets) Adopt(c syscall.Conn) (backend.Descriptor, backend.Address, error) {
	if s.native {
		return s.adoptNative(c)
	}
	if g, ok := c.(interface{ NetConn() net.Conn }); ok { // of a Conn of Detach, which has no file to duplicate
		if l, ok := g.NetConn().(*givenConn); ok {
			return s.takeBack(l)
		}
	}
	from, err := duplicateFile(c)
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	defer from.Close()
	f, err := adopted(net.FileConn(from))
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	return s.add(f), addressOf(f.conn.RemoteAddr()), nil
}

// adopted is the file of a connection from elsewhere, with a lingering close switched off.
func adopted(c net.Conn, err error) (*file, error) {
	refuse := fmt.Errorf("not a connected TCP or Unix stream socket: %w", syscall.ENOTCONN)
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", refuse, step(err))
	}
	f, err := newConn(c)
	if err != nil || f.conn.RemoteAddr() == nil {
		_ = c.Close()
		return nil, refuse
	}
	_ = setLinger(c, -1)
	return f, nil
}

func (s *sockets) adoptNative(c syscall.Conn) (backend.Descriptor, backend.Address, error) {
	from, remote, err := adoptNative(c)
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	defer from.Close()
	var kept []backend.SocketOption
	raw, err := from.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { kept = current(fd) })
	}
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	conn, err := net.FileConn(from)
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, step(err)
	}
	f, err := newConn(conn)
	if err != nil {
		_ = conn.Close()
		return backend.Descriptor{}, backend.Address{}, err
	}
	restore(f.control, kept)
	return s.add(f), remote, nil
}

// File implements backend.Sockets.
func (s *sockets) File(d backend.Descriptor) (file *os.File, err error) {
	f := s.at(d)
	if s.native {
		if outer := f.control(func(fd uintptr) { file, err = fileNative(fd) }); outer != nil {
			return nil, outer
		}
		return file, err
	}
	var owner any = f.ln
	if f.ln == nil {
		owner = f.conn
	}
	of, ok := owner.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errNoSocket
	}
	return of.File()
}

// HandOver implements backend.Sockets. Package net alone cannot duplicate a socket that is in use, on every system: it
// gives the connection itself away.
func (s *sockets) HandOver(d backend.Descriptor) (net.Conn, error) {
	f := s.at(d)
	if f.conn == nil {
		return nil, errNoSocket
	}
	if s.native {
		var c net.Conn
		var err error
		if outer := f.control(func(fd uintptr) { c, err = handOverNative(fd) }); outer != nil {
			return nil, outer
		}
		return c, err
	}
	f.mu.Lock()
	f.given = true
	f.mu.Unlock()
	return &givenConn{netConn: f.conn, f: f}, nil
}

// givenConn is the connection of a file that HandOver has given away. The driver may still use its deadlines; those of
// the owner come when it has let go of it.
type givenConn struct {
	netConn
	f *file

	mu    sync.Mutex // guards taken
	taken *file      // the connection's, since Adopt took it back; nil: it is the owner's
}

// SetDeadline implements net.Conn.
func (c *givenConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *givenConn) SetReadDeadline(t time.Time) error { return c.f.own.set(c.netConn, reads, t) }

// SetWriteDeadline implements net.Conn.
func (c *givenConn) SetWriteDeadline(t time.Time) error { return c.f.own.set(c.netConn, writes, t) }

// SetLinger is that of net.TCPConn.
func (c *givenConn) SetLinger(seconds int) error { return setLinger(c.netConn, seconds) }

// Close implements net.Conn. It leaves a connection open that Adopt took back, and ends what the owner's deadlines do.
func (c *givenConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == nil {
		return c.netConn.Close()
	}
	c.taken.own.clear(c.netConn)
	c.taken.setLender(nil)
	return nil
}

// takeBack makes a Descriptor of a connection that was given away. It is lent until the owner closes the Conn.
func (s *sockets) takeBack(c *givenConn) (backend.Descriptor, backend.Address, error) {
	f, err := newConn(c.netConn)
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	f.opts = c.f.remembered()
	f.lender = c
	c.mu.Lock()
	c.taken = f
	c.mu.Unlock()
	return s.add(f), addressOf(f.conn.RemoteAddr()), nil
}

// setLender says whose connection it still is.
func (f *file) setLender(c *givenConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lender = c
}

// giveBack reports whether the connection is not the file's to close.
func (f *file) giveBack() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.lender
	if c == nil {
		return f.given
	}
	c.mu.Lock()
	c.taken = nil
	c.mu.Unlock()
	return true
}

// HungUp implements backend.Sockets. Package net alone cannot tell.
func (s *sockets) HungUp(c net.Conn) bool {
	if s.plain {
		return false
	}
	f, err := newConn(c)
	return err == nil && f.asks(hasEnded)
}

// DiscardInput implements backend.Sockets.
func (s *sockets) DiscardInput(c net.Conn, limit int) {
	if g, ok := c.(*givenConn); ok {
		c = g.netConn
	}
	if f, err := newConn(c); err == nil {
		s.discard(f, limit)
	}
}
