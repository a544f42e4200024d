package backend

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SleepTimer ends a driver's sleep on time: a timerfd that the driver's set or ring watches. epoll_pwait(2) and Go's poller
// count in milliseconds; and on a virtual machine a timer that is set for one sleep can cost more than the sleep does.
//
// A loop's timeouts move on all the time, and arming the timer again for every sleep would cost a system call each. So
// a timer that is armed for an earlier time stays as it is: when it fires, the driver arms it for the right time and
// sleeps on. It need not be read if whoever watches it is told of each expiry: by EPOLLET, epoll(7), or by a multishot poll,
// io_uring_prep_poll_multishot(3).
type SleepTimer struct {
	fd    int
	begin time.Time
	armed time.Duration // when it fires, since begin; 0 if it is not armed
}

// Never is the due time of a sleep without an end.
const Never time.Duration = -1

// slack is how much too late the timer may fire. The same due time differs a little from sleep to sleep, by the time
// between the loop's reading of the clock and the timer's, and must not arm the timer again.
const slack = 10 * time.Microsecond

// NewSleepTimer makes a timer that is not armed.
func NewSleepTimer() (*SleepTimer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &SleepTimer{fd: fd, begin: time.Now()}, nil
}

// FD is the descriptor, which becomes readable when the timer fires.
func (t *SleepTimer) FD() int { return t.fd }

// Now reads the clock.
func (t *SleepTimer) Now() time.Duration { return time.Since(t.begin) + 1 }

// Arm makes sure that the timer fires at due or earlier, for a sleep that begins now.
func (t *SleepTimer) Arm(due, now time.Duration, c *Counters) error {
	if due == Never || t.armed > now && t.armed <= due+slack {
		return nil
	}
	t.armed = 0
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(due-now, 1)))}
	c[SystemCalls]++
	_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(t.fd), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if e != 0 {
		return os.NewSyscallError("timerfd_settime", e)
	}
	t.armed = due
	return nil
}

// Fired says that the timer has fired.
func (t *SleepTimer) Fired() { t.armed = 0 }

// Close closes the descriptor.
func (t *SleepTimer) Close() {
	if t != nil && t.fd >= 0 {
		CloseFD(t.fd)
		t.fd = -1
	}
}
