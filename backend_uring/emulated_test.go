//go:build linux

package uring

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/backend_uring/ring/ringtest"
)

// emulated makes a kernel whose users must not have done anything wrong when the test ends.
func emulated(t *testing.T, seed uint64, h ringtest.Habits) *ringtest.Kernel {
	k := ringtest.New(seed, h)
	t.Cleanup(func() {
		assert.Empty(t, k.Faults())
		if t.Failed() {
			t.Log(k)
		}
	})
	return k
}

// The contract holds on a kernel that answers at once, in order, and in full.
func TestDriverOnCalmKernel(t *testing.T) {
	for _, name := range rungNames() {
		for variant, c := range map[string]Config{"": {}, "-tiny": {Entries: 1, CompletionEntries: 2}} {
			t.Run(name+variant, func(t *testing.T) {
				drivertest.Run(t, func(t *testing.T, count *backend.Counters) backend.Driver {
					c.Rung, c.Kernel = name, emulated(t, 1, ringtest.Habits{})
					return checked{open(t, c, count), t}
				})
			})
		}
	}
}

// And on one that misbehaves.
func TestDriverOnWildKernel(t *testing.T) {
	for seed := range uint64(8) {
		c := []Config{{}, {Entries: 1, CompletionEntries: 2}, {Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}}[seed%3]
		c.Rung = rungNames()[seed%4]
		t.Run(fmt.Sprintf("%d-%s", seed, c.Rung), func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T, count *backend.Counters) backend.Driver {
				c.Kernel = emulated(t, seed, ringtest.Wild(seed))
				return checked{open(t, c, count), t}
			})
		})
	}
}

// The end of a stream that a multishot receive has overlooked is reported even if the cancellation of that receive does
// not find it.
func TestOverlookedEndAfterMissedCancellation(t *testing.T) {
	for seed := range uint64(8) {
		d := open(t, Config{Kernel: emulated(t, seed, ringtest.Habits{CancelMissed: 600})}, new(backend.Counters))
		o, peer := attach(t, d)
		drivertest.Send(t, peer, []byte("the last"))
		drivertest.Shut(t, peer, unix.SHUT_RDWR)
		until(t, d, func() bool { return o.Ends > 0 })
		assert.Equal(t, "the last", string(o.Got))
		release(t, d, o)
	}
}

// What a kernel may do to one send or receive does not make the probe give io_uring up.
func TestProbeOnWildKernel(t *testing.T) {
	for seed := range uint64(100) {
		_, err := Probe(Config{Kernel: emulated(t, seed, ringtest.Wild(seed))}.withDefaults())
		require.NoError(t, err, "seed %d", seed)
	}
}

// On a kernel that cannot bound a multishot receive, which nothing has told the driver yet, no stream fails.
func TestManyReceivesThatCannotBeBounded(t *testing.T) {
	d := open(t, Config{Kernel: emulated(t, 1, ringtest.Habits{NoLimit: true})}, new(backend.Counters))
	var all []*drivertest.Recorder
	for range 3 {
		a, b := drivertest.Sockets(t)
		o := drivertest.Attach(t, d, a)
		d.Receive(&o.Socket, true)
		drivertest.Send(t, b, []byte("x"))
		all = append(all, o)
	}
	until(t, d, func() bool { return allGotBytes(all) })
	release(t, d, all...)
}

// The same holds if the end comes while the receive is being cancelled, because it is not wanted for a while.
func TestOverlookedEndWhilePaused(t *testing.T) {
	d := open(t, Config{Kernel: emulated(t, 1, ringtest.Habits{})}, new(backend.Counters))
	o, peer := attach(t, d)
	require.NotZero(t, o.Socket.State&multi)
	o.Socket.State = o.Socket.State&^wantReceive | cancelling // as if a cancellation were on its way
	drivertest.Send(t, peer, []byte("the last"))
	drivertest.Shut(t, peer, unix.SHUT_RDWR)
	until(t, d, func() bool { return o.HangUps > 0 && string(o.Got) == "the last" })
	d.Receive(&o.Socket, true)
	completed(d, opCancel, &o.Socket, -int32(unix.ENOENT))
	until(t, d, func() bool { return o.Ends > 0 })
	release(t, d, o)
}
