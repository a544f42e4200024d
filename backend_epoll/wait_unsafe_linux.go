package epoll

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// epollEvent makes an event whose 64 bits of data are id; x/sys splits them into two fields.
func epollEvent(events uint32, id uint64) unix.EpollEvent {
	return unix.EpollEvent{Events: events, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
}

func eventID(e *unix.EpollEvent) uint64 { return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32 }

// look fills events and reports whether there are any, or an error. Only a look that may sleep tells the scheduler.
func (d *Driver) look(wait time.Duration) bool {
	var n uintptr
	var e syscall.Errno
	d.count[backend.SystemCalls]++
	if wait == 0 {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(d.epfd), uintptr(unsafe.Pointer(&d.events)), eventsPerLook, 0, 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(d.epfd), uintptr(unsafe.Pointer(&d.events)), eventsPerLook, milliseconds(wait), 0, 0)
	}
	d.ready, d.err = int(n), nil
	if e != 0 {
		d.ready = 0
		if e != unix.EINTR {
			d.err = os.NewSyscallError("epoll_pwait", e)
		}
	}
	return d.ready > 0 || d.err != nil
}

// milliseconds rounds up, so that a sleep does not end before the timer it ends for. Negative is for ever.
func milliseconds(d time.Duration) uintptr {
	if d < 0 {
		return ^uintptr(0)
	}
	return uintptr(min((d+time.Millisecond-1)/time.Millisecond, 1<<31-1))
}

// park sleeps in Go's poller until a look finds something.
func (d *Driver) park(wait time.Duration) {
	if wait > 0 || d.deadline {
		var t time.Time
		if d.deadline = wait > 0; d.deadline {
			t = time.Now().Add(wait)
		}
		if err := d.file.SetReadDeadline(t); err != nil {
			d.ready, d.err = 0, err
			return
		}
	}
	if err := d.raw.Read(d.lookParked); err != nil {
		d.ready = 0
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			d.err = err
		}
	}
}

// Wake implements backend.Driver.
func (d *Driver) Wake() { d.alarm.Signal() }
