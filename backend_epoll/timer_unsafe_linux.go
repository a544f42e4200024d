package epoll

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// timer ends a sleep in time: a timerfd in the epoll set, because epoll_pwait(2) and Go's poller count in milliseconds.
// It is edge-triggered, so that nobody has to read it; timerfd_create(2), epoll(7).
//
// Timers of a loop that are moved on, as timeouts are, would have it armed anew for every sleep. So one that is armed for
// an earlier time is left alone: when it fires, the driver arms it for the right time and sleeps on.
type timer struct {
	fd    int
	begin time.Time
	armed time.Duration // when it fires, since begin; 0: it is not armed
}

// never is the end of a sleep that has none.
const never time.Duration = -1

// late is by how much the timer may fire too late, so that it need not be armed anew for times that are the same, but
// for the time that passes between a loop's look at the clock and this one.
const late = 10 * time.Microsecond

func (t *timer) open(epfd int) (err error) {
	t.begin = time.Now()
	if t.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		t.fd = -1
		return os.NewSyscallError("timerfd_create", err)
	}
	e := epollEvent(unix.EPOLLIN|unix.EPOLLET&0xffffffff, timerID)
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, t.fd, &e))
}

// now reads the clock.
func (t *timer) now() time.Duration { return time.Since(t.begin) + 1 }

// arm sees to it that the timer fires when a sleep that begins now has to end at due, or earlier.
func (t *timer) arm(due, now time.Duration, c *backend.Counters) error {
	if due == never || t.armed > now && t.armed <= due+late {
		return nil
	}
	t.armed = due
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(due-now, 1)))}
	c[backend.SystemCalls]++
	_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(t.fd), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if e != 0 {
		return os.NewSyscallError("timerfd_settime", e)
	}
	return nil
}

func (t *timer) fired() { t.armed = 0 }

func (t *timer) close() {
	if t.fd >= 0 {
		backend.CloseFD(t.fd)
	}
	t.fd = -1
}
