package backend

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Transfers between a Conn and a file or another socket, without a copy of the bytes in this process: sendfile(2) and
// splice(2). Where the kernel cannot do that, or the other end is something else, the bytes are copied.

// pieceSize is how many bytes go at a time.
const pieceSize = 1 << 20

// copyBuffers are for what is copied.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// ReadFrom implements io.ReaderFrom.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	src, limit := r, int64(1<<63-1)
	limited, isLimited := r.(*io.LimitedReader)
	if isLimited {
		if src, limit = limited.R, limited.N; limit <= 0 {
			return 0, nil
		}
	}
	n, handled, err := c.readFromKernel(src, limit)
	if isLimited {
		limited.N -= n
	}
	if handled {
		return n, err
	}
	m, err := copyPlain(struct{ io.Writer }{c}, r)
	return n + m, err
}

// readFromKernel has the kernel move bytes, if it can.
func (c *conn) readFromKernel(src io.Reader, limit int64) (n int64, handled bool, err error) {
	switch s := src.(type) {
	case *os.File:
		return c.sendFile(s, limit)
	case *conn:
		return c.spliceFrom(s, limit)
	case *net.TCPConn, *net.UnixConn:
		return c.spliceFrom(src.(sysConn), limit)
	}
	return 0, false, nil
}

// sysConn is a socket on the other end of a splice.
type sysConn interface {
	syscall.Conn
}

// WriteTo implements io.WriterTo.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	switch dst := w.(type) {
	case *conn:
		return dst.ReadFrom(c)
	case *net.TCPConn, *net.UnixConn:
		n, handled, err := c.spliceTo(dst.(sysConn))
		if handled {
			return n, err
		}
		m, err := copyPlain(w, struct{ io.Reader }{c})
		return n + m, err
	}
	return copyPlain(w, struct{ io.Reader }{c})
}

// copyPlain copies bytes. The readers and writers that it is given must hide their own WriteTo and ReadFrom where these
// would come back here.
func copyPlain(w io.Writer, r io.Reader) (int64, error) {
	b := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}

// sendFile sends from a file, from its offset on, which moves.
func (c *conn) sendFile(f *os.File, limit int64) (n int64, handled bool, err error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, false, nil
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	controlErr := raw.Control(func(src uintptr) {
		n, handled, err = c.sendFrom(int(src), limit)
	})
	if controlErr != nil {
		return 0, false, nil
	}
	return n, handled, err
}

func (c *conn) sendFrom(src int, limit int64) (total int64, handled bool, err error) {
	c.wr.begin(nil, func(fd int) (bool, error) {
		for total < limit {
			n, err := unix.Sendfile(fd, src, nil, int(min(limit-total, pieceSize)))
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false, nil
			case err != nil || n == 0:
				return true, err
			default:
				total += int64(n)
			}
		}
		return true, nil
	})
	_, err = c.wr.end(c.raw.Write(c.wr.call))
	c.owner.Out.Add(uint64(total))
	if total == 0 && isUnable(err) {
		return 0, false, nil
	}
	return total, true, c.fail("sendfile", err)
}

// isUnable reports whether the kernel cannot do this for such files.
func isUnable(err error) bool {
	switch err {
	case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM:
		return true
	}
	return false
}

// spliceFrom moves bytes from a socket to this one.
func (c *conn) spliceFrom(src sysConn, limit int64) (n int64, handled bool, err error) {
	raw, err := src.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	own, _ := src.(*conn)
	return splice(raw, own, c.raw, c, limit)
}

// spliceTo moves bytes from this socket to another one, up to the end.
func (c *conn) spliceTo(dst sysConn) (n int64, handled bool, err error) {
	raw, err := dst.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	return splice(c.raw, c, raw, nil, 1<<63-1)
}

// splice moves bytes through a pipe. Either end may be a conn of ours.
func splice(from syscall.RawConn, src *conn, to syscall.RawConn, dst *conn, limit int64) (total int64, handled bool, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return 0, false, nil
	}
	defer CloseFD(pipe[0])
	defer CloseFD(pipe[1])
	_, _ = unix.FcntlInt(uintptr(pipe[0]), unix.F_SETPIPE_SZ, pieceSize)
	for total < limit {
		n, err := fillPipe(from, src, pipe[1], int(min(limit-total, pieceSize)))
		if err != nil && total == 0 && isUnable(err) {
			return 0, false, nil
		}
		if n == 0 || err != nil {
			return total, true, endError(src, "splice", err)
		}
		m, err := drainPipe(to, dst, pipe[0], n)
		total += int64(m)
		if err != nil {
			return total, true, endError(dst, "splice", err)
		}
	}
	return total, true, nil
}

// endError is an error as the end of the transfer at which it came tells it.
func endError(c *conn, op string, err error) error {
	if c != nil {
		return c.fail(op, err)
	}
	return CallError(op, err)
}

// fillPipe moves up to limit bytes into the pipe, and waits for the first. 0 is the end.
func fillPipe(from syscall.RawConn, src *conn, pipe, limit int) (n int, err error) {
	step := func(fd int) (bool, error) {
		for {
			m, err := unix.Splice(fd, nil, pipe, nil, limit, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				return false, nil
			}
			n = int(max(m, 0))
			return true, err
		}
	}
	if src != nil {
		src.rd.begin(nil, step)
		_, err = src.rd.end(src.raw.Read(src.rd.call))
		src.owner.In.Add(uint64(n))
		return n, err
	}
	outer := from.Read(func(fd uintptr) (over bool) { over, err = step(int(fd)); return over })
	if outer != nil {
		err = outer
	}
	return n, err
}

// drainPipe moves n bytes out of the pipe.
func drainPipe(to syscall.RawConn, dst *conn, pipe, n int) (moved int, err error) {
	step := func(fd int) (bool, error) {
		for moved < n {
			m, err := unix.Splice(pipe, nil, fd, nil, n-moved, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false, nil
			case err != nil:
				return true, err
			default:
				moved += int(m)
			}
		}
		return true, nil
	}
	if dst != nil {
		dst.wr.begin(nil, step)
		_, err = dst.wr.end(dst.raw.Write(dst.wr.call))
		dst.owner.Out.Add(uint64(moved))
		return moved, err
	}
	outer := to.Write(func(fd uintptr) (over bool) { over, err = step(int(fd)); return over })
	if outer != nil {
		err = outer
	}
	return moved, err
}
