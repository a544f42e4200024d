package backend

import (
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Transfers between a Conn and a file or another socket, without a copy of the bytes in this process: sendfile(2) and
// splice(2). Where the kernel cannot do that, or the other end is something else, the bytes are copied.
//
//	file ───── sendfile ─────► conn
//	socket ── splice ─► pipe ── splice ──► socket
//
// As in package net a transfer is like several Writes: one for a sendfile, and one for each piece that passes through the
// pipe. Another Write may go in between, so that it does not have to wait for the source of a transfer.

const (
	pieceSize = 1 << 20 // how many bytes go at a time
	noLimit   = math.MaxInt64
)

// copyBuffers are for what is copied.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// ReadFrom implements io.ReaderFrom.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.readFrom(r)
	return n, c.fail("readfrom", err)
}

func (c *conn) readFrom(r io.Reader) (int64, error) {
	src, limit := r, int64(noLimit)
	limited, isLimited := r.(*io.LimitedReader)
	if isLimited {
		if src, limit = limited.R, limited.N; limit <= 0 {
			return 0, nil
		}
	}
	n, handled, err := c.readFromKernel(src, limit)
	if !handled {
		return copyPlain(c, r)
	}
	if isLimited {
		limited.N -= n
	}
	return n, err
}

// readFromKernel has the kernel move bytes, if it can. Packages os and net hide the WriteTo of a source in types that they
// do not export, so the package of the type decides. A type of another package that embeds one of theirs may have a Read
// of its own.
func (c *conn) readFromKernel(src io.Reader, limit int64) (n int64, handled bool, err error) {
	if own, ok := src.(*conn); ok {
		return splice(own.spliceEnd(&own.rd), c.spliceEnd(&c.wr), limit)
	}
	s, ok := src.(syscall.Conn)
	if !ok {
		return 0, false, nil
	}
	t := reflect.TypeOf(src)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case "os":
		return c.sendFile(s, limit)
	case "net":
		if raw, err := s.SyscallConn(); err == nil {
			return splice(spliceEnd{do: raw.Read}, c.spliceEnd(&c.wr), limit)
		}
	}
	return 0, false, nil
}

// WriteTo implements io.WriterTo.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.writeTo(w)
	return n, c.fail("writeto", err)
}

func (c *conn) writeTo(w io.Writer) (n int64, err error) {
	handled := false
	switch dst := w.(type) {
	case *conn:
		n, handled, err = splice(c.spliceEnd(&c.rd), dst.spliceEnd(&dst.wr), noLimit)
	case *net.TCPConn, *net.UnixConn:
		if raw, rawErr := dst.(syscall.Conn).SyscallConn(); rawErr == nil {
			n, handled, err = splice(c.spliceEnd(&c.rd), spliceEnd{do: raw.Write}, noLimit)
		}
	}
	if !handled {
		return copyPlain(w, c)
	}
	return n, err
}

// copyPlain copies bytes. ReadFrom and WriteTo of both ends are hidden, because they would come back here.
func copyPlain(w io.Writer, r io.Reader) (int64, error) {
	b := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, *b)
}

// sendFile sends from a file, from its offset on, which moves.
func (c *conn) sendFile(f syscall.Conn, limit int64) (n int64, handled bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	outer := raw.Read(func(src uintptr) bool {
		n, handled, err = c.sendFrom(int(src), limit)
		return true
	})
	if outer != nil {
		return 0, false, nil // a Read of the file says why
	}
	return n, handled, err
}

func (c *conn) sendFrom(src int, limit int64) (total int64, handled bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false, nil
	}
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
	_, err = c.end(&c.wr, c.raw.Write(c.wr.call))
	c.owner.Out.Add(uint64(total))
	if total == 0 && isUnable(err) {
		return 0, false, nil
	}
	return total, true, CallError("sendfile", err)
}

// isUnable reports whether the kernel cannot do this for such files.
func isUnable(err error) bool {
	switch err {
	case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM:
		return true
	}
	return false
}

// spliceEnd is one end of a splice: a direction of a conn, or a method of another socket's RawConn.
type spliceEnd struct {
	c  *conn // nil: another socket
	h  *half
	do func(f func(fd uintptr) (over bool)) error
}

func (c *conn) spliceEnd(h *half) spliceEnd {
	if h == &c.rd {
		return spliceEnd{c: c, h: h, do: c.raw.Read}
	}
	return spliceEnd{c: c, h: h, do: c.raw.Write}
}

// run calls step with the descriptor until it is over, waiting in between, as one call of the conn's.
func (e spliceEnd) run(step func(fd int) (over bool, err error)) (err error) {
	if e.c != nil {
		e.h.begin(nil, step)
		_, err = e.c.end(e.h, e.do(e.h.call))
		return err
	}
	outer := e.do(func(fd uintptr) (over bool) {
		over, err = step(int(fd))
		return over
	})
	if op, ok := errors.AsType[*net.OpError](outer); ok {
		outer = op.Err
	}
	if outer != nil {
		err = outer
	}
	return err
}

// splice moves bytes through a pipe. handled is false if nothing was moved, because the kernel cannot do that.
func splice(from, to spliceEnd, limit int64) (total int64, handled bool, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return 0, false, nil
	}
	defer CloseFD(pipe[0])
	defer CloseFD(pipe[1])
	_, _ = unix.FcntlInt(uintptr(pipe[0]), unix.F_SETPIPE_SZ, pieceSize) // with less it takes more calls
	for total < limit {
		n, err := from.fill(pipe[1], int(min(limit-total, pieceSize)))
		if err != nil && total == 0 && isUnable(err) {
			return 0, false, nil
		}
		if n == 0 || err != nil {
			return total, true, CallError("splice", err)
		}
		m, err := to.drain(pipe[0], n)
		total += int64(m)
		if err != nil {
			return total, true, CallError("splice", err)
		}
	}
	return total, true, nil
}

// fill moves up to limit bytes into the pipe, which is empty, and waits for the first. 0 is the end.
func (e spliceEnd) fill(pipe, limit int) (n int, err error) {
	err = e.run(func(fd int) (bool, error) {
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
	})
	if e.c != nil {
		e.c.owner.In.Add(uint64(n))
	}
	return n, err
}

// drain moves n bytes out of the pipe.
func (e spliceEnd) drain(pipe, n int) (moved int, err error) {
	err = e.run(func(fd int) (bool, error) {
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
	})
	if e.c != nil {
		e.c.owner.Out.Add(uint64(moved))
	}
	return moved, err
}
