//go:build linux

package uring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// closesSoon closes a driver, which must not take long, and reports whether its buffers are still mapped. Any
// goroutine.
func closesSoon(t *testing.T, d *Driver) (mapped bool) {
	t.Helper()
	began := time.Now()
	assert.NoError(t, d.Close())
	assert.Less(t, time.Since(began), time.Second)
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

// A driver whose system calls fail closes at once. The memory that the kernel may still use stays mapped.
func TestCloseAfterFailure(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		attach(t, d)
		d.err = unix.EPERM
		assert.True(t, closesSoon(t, d), "the kernel may write to the buffers")
	})
}

// A driver may be closed on another thread than its own.
func TestCloseOnAnotherThread(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		attach(t, d)
		done := make(chan bool)
		go func() { done <- closesSoon(t, d) }() // the goroutine of the test keeps its thread
		assert.True(t, <-done, "the kernel may write to the buffers")
	})
}

// Close closes a connection that was accepted and not reported.
func TestCloseWithAcceptedConnection(t *testing.T) {
	for name, err := range map[string]error{"clean": nil, "after a failure": unix.EPERM} {
		t.Run(name, func(t *testing.T) {
			forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
				l := drivertest.Listen(t, 5)
				o := drivertest.Attach(t, d, l)
				d.Accept(&o.Socket, true)
				turn(t, d)
				c := drivertest.Dial(t, l)
				fill(t, d) // accepted, and not reported
				d.err = err
				closesSoon(t, d)
				require.NoError(t, unix.SetNonblock(c, true))
				require.Eventually(t, func() bool { _, err := backend.Recv(c, make([]byte, 1)); return err != unix.EAGAIN },
					patience, time.Millisecond, "the peer sees no end")
				n, err := backend.Recv(c, make([]byte, 1))
				assert.NoError(t, err)
				assert.Zero(t, n)
			})
		})
	}
}

// When the kernel takes no entries any longer, requests go nowhere, and count as in flight: the driver cannot know which of
// them the kernel has, and so keeps what they refer to.
func TestSubmissionFails(t *testing.T) {
	forEachRung(t, Config{Entries: 1, CompletionEntries: 2}, func(t *testing.T, d *Driver) {
		var all []*drivertest.Recorder
		for range 4 {
			o, _ := drivertest.TCPPair(t, d)
			all = append(all, o)
		}
		done := make(chan bool)
		go func() { // the goroutine of the test keeps its thread, and the ring is registered with that one
			defer close(done)
			for _, o := range all {
				_, err := d.Send(&o.Socket, [][]byte{[]byte("nowhere")})
				assert.ErrorIs(t, err, backend.ErrPending)
			}
		}()
		<-done
		require.Error(t, d.err, "nothing is tested")
		_, err := d.Poll(0)
		assert.ErrorIs(t, err, d.err)
		assert.True(t, closesSoon(t, d), "the kernel may write to the buffers")
		for _, o := range all {
			assert.True(t, o.Socket.Busy())
			assert.Empty(t, o.Sends)
		}
	})
}

// A connection that was accepted when the completion queue was full has its completion in the kernel. Close closes it,
// on whatever thread.
func TestCloseWithAcceptedConnectionInOverflow(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(map[bool]string{false: "on its thread", true: "on another"}[elsewhere], func(t *testing.T) {
			forEachRung(t, Config{Entries: 4, CompletionEntries: 8}, func(t *testing.T, d *Driver) {
				l := drivertest.Listen(t, 50)
				o := drivertest.Attach(t, d, l)
				d.Accept(&o.Socket, true)
				turn(t, d)
				var peers []int
				for range 12 {
					peers = append(peers, drivertest.Dial(t, l))
				}
				require.Eventually(t, func() bool { return d.ring.Enter() != nil || d.ring.Overflowed() }, patience, time.Millisecond)
				if !elsewhere {
					closesSoon(t, d)
				} else {
					done := make(chan bool)
					go func() { done <- closesSoon(t, d) }()
					<-done
				}
				require.NoError(t, unix.Shutdown(l, unix.SHUT_RDWR)) // what waits in the backlog ends, too
				for i, c := range peers {
					require.NoError(t, unix.SetNonblock(c, true))
					require.Eventually(t, func() bool { _, err := backend.Recv(c, make([]byte, 1)); return err != unix.EAGAIN },
						patience, time.Millisecond, "peer %d sees no end", i)
				}
			})
		})
	}
}
