package backend

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe carries bytes from one socket to another within the kernel, splice(2). It is empty between two uses.
//
//	socket ── Fill ─► pipe ── Drain, or Read ──► socket, or memory
type Pipe struct{ read, write int }

// NewPipe makes a Pipe.
func NewPipe() (*Pipe, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	_, _ = unix.FcntlInt(uintptr(p[0]), unix.F_SETPIPE_SZ, PipeSize)
	return &Pipe{p[0], p[1]}, nil
}

// Close closes it.
func (p *Pipe) Close() {
	CloseFD(p.read)
	CloseFD(p.write)
}

// Fill moves what a socket has received into the pipe, which is empty, at most that many bytes. 0 is the end of the
// stream. The socket must be non-blocking, and nobody else's.
func (p *Pipe) Fill(fd, most int) (int, error) { return spliceOnce(fd, p.write, most) }

// Drain moves n bytes of the pipe to a socket, as far as that has room, and returns how many it took. It never waits.
func (p *Pipe) Drain(d Descriptor, n int) (moved int, err error) {
	for moved < n {
		m, err := spliceOnce(p.read, d.FD(), n-moved)
		if err == syscall.EAGAIN {
			break
		}
		if err != nil {
			return moved, err
		}
		moved += m
	}
	return moved, nil
}

// Read copies what is in the pipe, at most len(b) bytes.
func (p *Pipe) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(p.read, b)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// spliceOnce does not wait, because both ends are non-blocking, unless somebody who shares the socket makes it blocking just
// now: splice(2) has no flag for one call. The scheduler knows of that, and others go on.
func spliceOnce(from, to, n int) (int, error) {
	for {
		m, _, e := unix.Syscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch e {
		case 0:
			return int(m), nil
		case unix.EINTR:
		default:
			return 0, syscall.Errno(e)
		}
	}
}
