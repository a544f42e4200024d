package portable

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

// file is an open socket: a connection, one that is being made, or a listener.
type file struct {
	raw  syscall.RawConn // of what follows
	conn netConn
	ln   netListener
	dial *dial // of a socket that is to connect; conn comes when it has

	out sending
	own deadlines // that a Conn of HandOver was given, while the driver uses those of conn

	mu     sync.Mutex             // guards what follows
	opts   []backend.SocketOption // that were set, with package net alone
	given  bool                   // conn is somebody else's: HandOver has given it away
	lender *givenConn             // whose conn it still is; nil: nobody's
}

// netConn is a *net.TCPConn or a *net.UnixConn.
type netConn interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
	File() (*os.File, error)
}

// setLinger is that of net.TCPConn. On other connections it does nothing.
func setLinger(c net.Conn, seconds int) error {
	if l, ok := c.(*net.TCPConn); ok {
		return l.SetLinger(seconds)
	}
	return nil
}

// netListener is a *net.TCPListener or a *net.UnixListener.
type netListener interface {
	net.Listener
	syscall.Conn
	SetDeadline(t time.Time) error
}

// sending is a send that tries once. call is made once, so that a send allocates nothing.
type sending struct {
	mu   sync.Mutex // guards what follows
	call func(fd uintptr)
	one  [1][]byte
	bufs [][]byte
	n    int
	err  error
}

// past is a deadline that interrupts a call.
var past = time.Unix(1, 0)

// errNoSocket is the error of a call on a Descriptor that is none.
const errNoSocket = syscall.EBADF

// newConn makes the file of a connection.
func newConn(c net.Conn) (*file, error) {
	f := &file{}
	return f, f.setConn(c)
}

func (f *file) setConn(c net.Conn) error {
	conn, ok := c.(netConn)
	if !ok || conn.LocalAddr() == nil || !isStream(conn.LocalAddr().Network()) {
		return syscall.ENOTCONN
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	f.conn, f.raw = conn, raw
	f.out.call = f.sendOnce
	return nil
}

func isStream(network string) bool { return network == "tcp" || network == "unix" }

// sendOnce is for RawConn.Control.
func (f *file) sendOnce(fd uintptr) { f.out.n, f.out.err = sendOnce(fd, f.out.bufs) }

// trySend sends what the kernel takes at once, and returns errAgain if that is nothing.
func (f *file) trySend(bufs [][]byte) (int, error) {
	f.out.mu.Lock()
	defer f.out.mu.Unlock()
	return f.trySendLocked(bufs)
}

// trySendOne is trySend of one slice, which need not be in a slice of the caller's.
func (f *file) trySendOne(p []byte) (int, error) {
	o := &f.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.one[0] = p
	n, err := f.trySendLocked(o.one[:])
	o.one[0] = nil
	return n, err
}

func (f *file) trySendLocked(bufs [][]byte) (int, error) {
	o := &f.out
	o.bufs = bufs
	if err := f.raw.Control(o.call); err != nil {
		o.n, o.err = 0, bare(err)
	}
	o.bufs = nil
	return o.n, o.err
}

// control calls fn with the descriptor, if it is still open.
func (f *file) control(fn func(fd uintptr)) error {
	if f.raw == nil {
		return errNoSocket
	}
	return bare(f.raw.Control(fn))
}

// within calls fn by means of control, and returns the error of either.
func within(control func(func(fd uintptr)) error, fn func(fd uintptr) error) (err error) {
	if outer := control(func(fd uintptr) { err = fn(fd) }); outer != nil {
		return outer
	}
	return err
}

// asks is control for a question that is answered false if the descriptor is gone.
func (f *file) asks(question func(fd uintptr) bool) (answer bool) {
	_ = f.control(func(fd uintptr) { answer = question(fd) })
	return answer
}

// connected reports whether there is a connection, and no dial that is to make it. Afterwards conn may be used.
func (f *file) connected() bool {
	if f.dial != nil {
		select {
		case <-f.dial.over:
		default:
			return false
		}
	}
	return f.conn != nil
}

// bare is what is inside an error of package net: an errno, if there is one.
func bare(err error) error {
	var errno syscall.Errno
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.As(err, &errno):
		return common(errno)
	}
	return step(err)
}

// step is an error of package net without the *net.OpError around it, so that it still says which system call failed.
func step(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	var errno syscall.Errno
	if errors.As(err, &call) && errors.As(call.Err, &errno) && common(errno) != errno {
		return os.NewSyscallError(call.Syscall, common(errno))
	}
	return err
}

// opError is an error of package net whose errno is one that all systems have.
func opError(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	own := *op
	own.Err = step(err)
	return &own
}

// interrupted reports whether a call of package net has ended because of its deadline.
func interrupted(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// addressOf is an address of package net.
func addressOf(a net.Addr) backend.Address {
	switch a := a.(type) {
	case *net.TCPAddr:
		if a != nil && len(a.IP) > 0 {
			return backend.Address{IP: a.AddrPort(), Kind: backend.TCPAddress}
		}
	case *net.UnixAddr:
		if a != nil && a.Name == "@" { // it has no name
			return backend.Address{Kind: backend.UnixAddress}
		}
		if a != nil {
			return backend.Address{Unix: a.Name, Kind: backend.UnixAddress}
		}
	}
	return backend.Address{}
}

// deadlines are those of a connection that was given away before the driver has let go of it.
type deadlines struct {
	mu   sync.Mutex // guards what follows
	held int        // goroutines of the driver that use the deadlines of the connection
	at   [2]time.Time
}

const reads, writes = 0, 1 // indices of deadlines.at

// hold begins the driver's use of the deadlines.
func (d *deadlines) hold() {
	d.mu.Lock()
	d.held++
	d.mu.Unlock()
}

// letGo ends the driver's use of the deadlines of a connection, and sets those that its owner wants.
func (d *deadlines) letGo(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held--; d.held == 0 {
		_ = c.SetReadDeadline(d.at[reads])
		_ = c.SetWriteDeadline(d.at[writes])
	}
}

// clear ends all deadlines, unless the driver uses them: its goroutines do that themselves.
func (d *deadlines) clear(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == 0 {
		_ = c.SetDeadline(time.Time{})
	}
}

// set is what the owner wants.
func (d *deadlines) set(c net.Conn, which int, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[which] = t
	switch {
	case d.held > 0:
		return nil
	case which == reads:
		return c.SetReadDeadline(t)
	}
	return c.SetWriteDeadline(t)
}
