//go:build linux

package uring

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// closesSoon closes a driver, which must not take long, and returns whether its buffers are still mapped.
func closesSoon(t *testing.T, d *Driver) (mapped bool) {
	t.Helper()
	began := time.Now()
	require.NoError(t, d.Close())
	require.Less(t, time.Since(began), time.Second)
	return len(d.buffers.slabs) > 0
}

// A driver with requests in flight on many sockets closes at once.
func TestCloseWithRequests(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		for range 200 {
			attach(t, d)
		}
		assert.False(t, closesSoon(t, d), "mapped after a clean end")
	})
}

// A driver whose system call is refused closes at once. What the kernel may still use stays.
func TestCloseAfterFailure(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		attach(t, d)
		d.err = unix.EPERM
		assert.True(t, closesSoon(t, d), "the kernel may write to the buffers")
	})
}

// A driver may be closed on another thread than its own, when that has ended.
func TestCloseOnAnotherThread(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		attach(t, d)
		done := make(chan bool)
		go func() { done <- closesSoon(t, d) }() // the goroutine of the test keeps its thread
		assert.True(t, <-done, "the kernel may write to the buffers")
	})
}

// A connection that was accepted for nobody when the driver ends is closed.
func TestCloseWithAcceptedConnection(t *testing.T) {
	for name, err := range map[string]error{"clean": nil, "after a failure": unix.EPERM} {
		t.Run(name, func(t *testing.T) {
			forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
				fd, e := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				require.NoError(t, e)
				defer unix.Close(fd)
				require.NoError(t, errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 5)))
				o := attachFD(t, d, fd)
				d.Accept(&o.sock, true)
				turn(t, d)
				c := connected(t, fd)
				defer unix.Close(c)
				fill(t, d) // accepted, and not reported
				d.err = err
				closesSoon(t, d)
				require.NoError(t, unix.SetNonblock(c, true))
				var n int
				require.Eventually(t, func() bool { n, e = backend.Recv(c, make([]byte, 1)); return e != unix.EAGAIN },
					patience, time.Millisecond, "the peer sees no end")
				assert.Zero(t, n)
			})
		})
	}
}
