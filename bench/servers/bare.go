//go:build linux

package servers

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/tandem-io/tandem/bench/sockets"
	"golang.org/x/sys/unix"
)

func bareImplementations() []Implementation {
	return []Implementation{bareEpollImplementation(), bareUringImplementation()}
}

// bare is what the two floors share: one loop on one thread, a listening socket, and a way to end it.
type bare struct {
	listener int
	addr     *net.TCPAddr
	wake     int // an eventfd: readable means stop
	stopped  atomic.Bool
	ended    chan error // the loop's result
}

func openBare(c Config) (*bare, error) {
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	fd, addr, err := sockets.Listen(c.Addr)
	if err != nil {
		_ = unix.Close(wake)
		return nil, err
	}
	return &bare{listener: fd, addr: addr, wake: wake, ended: make(chan error, 1)}, nil
}

// serve starts the loop on a thread of its own. setup runs there too, because a ring belongs to the thread that enabled
// it. The thread is not unlocked: it ends with the loop, and with it everything that the kernel tied to it.
func (b *bare) serve(details string, setup, loop func() error) (*Server, error) {
	ready := make(chan error)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := setup()
		ready <- err
		if err != nil {
			return
		}
		err = loop()
		if !b.stopped.Load() {
			failed <- err
		}
		b.ended <- err
	}()
	if err := <-ready; err != nil {
		b.closeDescriptors()
		return nil, err
	}
	return &Server{Addr: b.addr, Details: details, Failed: failed, Close: b.close}, nil
}

// close ends the loop. Connections that are still open end with the process.
func (b *bare) close() error {
	b.stopped.Store(true)
	if _, err := unix.Write(b.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return fmt.Errorf("wake the loop: %w", os.NewSyscallError("write", err))
	}
	err := <-b.ended
	b.closeDescriptors()
	return err
}

func (b *bare) closeDescriptors() {
	_ = unix.Close(b.listener)
	_ = unix.Close(b.wake)
}
