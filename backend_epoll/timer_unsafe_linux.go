package epoll

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// timer ends a sleep on time: a timerfd in the epoll set, because epoll_pwait(2) and Go's poller count in milliseconds.
// It is edge-triggered, so it need not be read; timerfd_create(2), epoll(7).
//
// A loop's timeouts move on all the time, and arming the timer again for every sleep would cost a system call each. So
// a timer that is armed for an earlier time stays as it is: when it fires, the driver arms it for the right time and
// sleeps on.
type timer struct {
	fd    int
	begin time.Time
	armed time.Duration // when it fires, since begin; 0 if it is not armed
}

// never is the due time of a sleep without an end.
const never time.Duration = -1

// slack is how much too late the timer may fire. The same due time differs a little from sleep to sleep, by the time
// between the loop's reading of the clock and the timer's, and must not arm the timer again.
const slack = 10 * time.Microsecond

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

// arm makes sure that the timer fires at due or earlier, for a sleep that begins now.
func (t *timer) arm(due, now time.Duration, c *backend.Counters) error {
	if due == never || t.armed > now && t.armed <= due+slack {
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
