package backend

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// CallControl is for drivers: it calls Control, if there is one, for a socket that is going to connect to remote. The
// RawConn that Control gets calls access with its function, until CallControl returns.
func (o *DialSocket) CallControl(remote Address, access func(f func(fd uintptr)) error) error {
	if o.Control == nil {
		return nil
	}
	conn := &hookConn{access: access}
	defer conn.end()
	return o.Control(remote.Family(), remote.NetAddr().String(), conn)
}

// hookConn is a socket that is going to connect, as Control functions get it. It is good until end, because the
// descriptor is closed at a time that the functions do not know, and may be somebody else's then.
type hookConn struct {
	mu     sync.RWMutex // held while access is used
	access func(f func(fd uintptr)) error
}

var _ syscall.RawConn = (*hookConn)(nil)

// Control implements syscall.RawConn.
func (c *hookConn) Control(f func(uintptr)) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.access == nil {
		return net.ErrClosed
	}
	return c.access(f)
}

// Read implements syscall.RawConn.
func (*hookConn) Read(func(uintptr) bool) error { return errors.ErrUnsupported }

// Write implements syscall.RawConn.
func (*hookConn) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

func (c *hookConn) end() {
	c.mu.Lock()
	c.access = nil
	c.mu.Unlock()
}
