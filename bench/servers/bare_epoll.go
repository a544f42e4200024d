//go:build linux

package servers

import (
	"fmt"
	"os"

	"github.com/tandem-io/tandem/bench/sockets"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

func bareEpollImplementation() Implementation {
	return Implementation{
		Name:  "bare-epoll",
		Bare:  true,
		About: "the floor: one thread, epoll, raw system calls, nothing else",
		Modes: []string{workload.ModeEcho, workload.ModeDiscard},
		Open:  openBareEpoll,
	}
}

// bareEpoll is a minimal epoll echo server: one buffer, no state per connection, and no handling of a peer that does
// not read, which blocks everybody. It is a floor to measure against, not a model.
type bareEpoll struct {
	*bare
	Config
	ep     int
	events [512]unix.EpollEvent
	buf    [readBuffer]byte
}

func openBareEpoll(c Config) (*Server, error) {
	b, err := openBare(c)
	if err != nil {
		return nil, err
	}
	s := &bareEpoll{bare: b, Config: c}
	return b.serve("one loop, level-triggered", s.setup, s.loop)
}

func (s *bareEpoll) setup() error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	s.ep = ep
	for _, fd := range []int{s.listener, s.wake} {
		if err := s.watch(fd); err != nil {
			_ = unix.Close(ep)
			return err
		}
	}
	return nil
}

func (s *bareEpoll) watch(fd int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.ep, unix.EPOLL_CTL_ADD, fd, &e))
}

func (s *bareEpoll) loop() error {
	defer unix.Close(s.ep)
	for {
		n, err := sockets.Wait(s.ep, s.events[:], -1)
		if err != nil {
			return fmt.Errorf("wait for events: %w", os.NewSyscallError("epoll_pwait", err))
		}
		for i := range s.events[:n] {
			switch fd := int(s.events[i].Fd); fd {
			case s.wake:
				return nil
			case s.listener:
				if err := s.accept(); err != nil {
					return err
				}
			default:
				s.receive(fd)
			}
		}
	}
}

// accept takes all connections that wait.
func (s *bareEpoll) accept() error {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.ECONNABORTED, unix.EINTR:
			continue
		default:
			return fmt.Errorf("accept: %w", os.NewSyscallError("accept4", err))
		}
		if err := s.watch(fd); err != nil {
			return err
		}
	}
}

// receive receives once, and sends that back or drops it.
func (s *bareEpoll) receive(fd int) {
	n, err := sockets.RecvNow(fd, s.buf[:])
	if err == unix.EAGAIN {
		return
	}
	if n > 0 && s.Mode == workload.ModeDiscard {
		return
	}
	burn(s.Work)
	if n == 0 || !s.sendAll(fd, s.buf[:n]) {
		_ = unix.Close(fd) // which takes it out of the set
	}
}

// sendAll sends p, and waits while the peer does not take it.
func (s *bareEpoll) sendAll(fd int, p []byte) bool {
	for {
		n, err := sockets.SendNow(fd, p)
		if n == len(p) {
			return true
		}
		p = p[n:]
		if err == nil || err == unix.EINTR {
			continue
		}
		if err != unix.EAGAIN || s.stopped.Load() {
			return false
		}
		// Bounded, so that a peer that never reads does not keep the server from ending.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 100)
	}
}
