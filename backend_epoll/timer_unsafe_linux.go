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
// It is armed only where that is necessary. One that fires early costs a turn; one that was armed for a time that
// nobody waits for any longer, too.
type timer struct {
	fd    int
	begin time.Time
	armed time.Duration // when it fires, since begin; 0: it is not armed
}

// early is by how much the timer may fire before its time, so that it need not be armed anew: the time that passes
// between two looks at the same timer of a loop.
const early = 20 * time.Microsecond

func (t *timer) open(epfd int) (err error) {
	t.begin = time.Now()
	if t.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		t.fd = -1
		return os.NewSyscallError("timerfd_create", err)
	}
	e := epollEvent(unix.EPOLLIN|unix.EPOLLET&0xffffffff, timerID)
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, t.fd, &e))
}

// arm has the timer fire in wait, or at any time if wait is negative.
func (t *timer) arm(wait time.Duration, c *backend.Counters) error {
	if wait < 0 {
		return nil
	}
	now := time.Since(t.begin)
	due := now + wait
	if t.armed > now && t.armed <= due && due-t.armed < early {
		return nil
	}
	t.armed = due
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(wait, 1)))}
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
