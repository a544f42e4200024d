package epoll

import (
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

// pwait fills events and reports whether there are any, or an error. It notifies Go's scheduler only if it may block.
func (d *Driver) pwait(block bool) bool {
	var n uintptr
	var e syscall.Errno
	d.count[backend.SystemCalls]++
	if !block {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(d.epfd), uintptr(unsafe.Pointer(&d.events)), maxEvents, 0, 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(d.epfd), uintptr(unsafe.Pointer(&d.events)), maxEvents, noTimeout, 0, 0)
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

const noTimeout = ^uintptr(0)

// sleep blocks until there are events or wait has passed; a negative wait never passes.
func (d *Driver) sleep(wait time.Duration) {
	if d.mode == backend.Held && !d.cannotHold && d.hold(backend.HeldWait(wait)) {
		return
	}
	now, due := time.Duration(0), backend.Never
	if wait > 0 {
		now = d.timer.Now()
		due = now + wait
	}
	for {
		if d.err = d.timer.Arm(due, now, d.count); d.err != nil {
			return
		}
		d.block()
		if d.err != nil || d.ready != 1 || eventID(&d.events[0]) != timerID {
			return
		}
		d.timer.Fired()
		d.ready = 0
		if now = d.timer.Now(); due != backend.Never && now >= due {
			return
		}
	}
}

// block waits for events: in Go's poller, or in epoll_pwait.
func (d *Driver) block() {
	if d.raw == nil || d.mode != backend.Parked {
		d.pwait(true)
		return
	}
	if err := d.raw.Read(d.pollOnce); err != nil {
		d.ready, d.err = 0, err
	}
}

// Parks implements backend.ParkingDriver.
func (d *Driver) Parks() backend.Parking {
	if d.raw == nil {
		return backend.ParksNever
	}
	return backend.ParksAsARule
}

// SleepAs implements backend.ParkingDriver.
func (d *Driver) SleepAs(m backend.SleepMode) { d.mode = m }

// hold waits for events for at most wait, a positive time, without a word to Go's scheduler. It reports false if the kernel
// does not know the call, or a filter refuses it. Since Linux 5.11; epoll_pwait2(2).
func (d *Driver) hold(wait time.Duration) bool {
	d.count[backend.SystemCalls]++
	d.held.nanoseconds = int64(wait)
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(d.epfd), uintptr(unsafe.Pointer(&d.events)), maxEvents,
		uintptr(unsafe.Pointer(&d.held)), 0, 0)
	d.ready, d.err = int(n), nil
	if e != 0 {
		d.ready = 0
		d.cannotHold = e != unix.EINTR
	}
	return !d.cannotHold
}

// timespec is __kernel_timespec, whose parts have 64 bits everywhere.
type timespec struct{ seconds, nanoseconds int64 }

// Yield implements backend.ParkingDriver. runtime.Gosched would not ask Go's poller, because the goroutine that calls it
// is itself ready. This one waits in the poller, for a wake-up of its own. The sleep that comes next ends by it, too, and
// dispatch does not count it.
func (d *Driver) Yield() {
	d.yielding = false
	_ = d.raw.Read(d.yieldOnce)
}

// wakeOnce makes RawConn.Read, which calls it, wait once. The wake-up comes inside, where Go's poller has forgotten
// earlier ones.
func (d *Driver) wakeOnce(uintptr) (done bool) {
	if d.yielding {
		return true
	}
	d.yielding = true
	d.Wake()
	return false
}

// Wake implements backend.Driver.
func (d *Driver) Wake() { d.alarm.Signal() }
