//go:build linux

package uring

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// openDirect makes a driver that sends past the ring where that is quicker.
func openDirect(t *testing.T) *Driver {
	d := open(t, Config{}, new(backend.Counters))
	if d.rung.flags&ring.SetupDeferTaskrun == 0 {
		t.Skip("SKIPPED, NOTHING WAS TESTED: without DEFER_TASKRUN every send goes through the ring")
	}
	return d
}

// In a turn with little to do, sends are on their way when Send returns: two of them, and the rest goes through the ring.
func TestFewSendsGoPastTheRing(t *testing.T) {
	d := openDirect(t)
	type pair struct {
		o    *drivertest.Recorder
		peer int
	}
	var pairs []pair
	for range 5 {
		o, peer := attach(t, d)
		pairs = append(pairs, pair{o, peer})
	}
	for range 3 {
		for range 2 {
			turn(t, d)
		}
		direct, sends := 0, len(pairs[few].o.Sends)
		for _, p := range pairs {
			n, err := d.Send(&p.o.Socket, [][]byte{[]byte("ab"), []byte("c")})
			if err == nil {
				require.Equal(t, 3, n)
				direct++
				assert.Equal(t, "abc", read(t, p.peer), "before the next turn")
				continue
			}
			require.Equal(t, backend.ErrPending, err)
		}
		assert.Equal(t, few, direct)
		for _, p := range pairs[few:] {
			until(t, d, func() bool { return len(p.o.Sends) > sends })
			assert.Equal(t, "abc", read(t, p.peer))
		}
	}
	// Behind a turn with more to do, all of them go through the ring.
	for _, p := range pairs {
		_, err := unix.Write(p.peer, []byte("x"))
		require.NoError(t, err)
	}
	turn(t, d)
	for _, p := range pairs {
		_, err := d.Send(&p.o.Socket, [][]byte{[]byte("abc")})
		assert.Equal(t, backend.ErrPending, err)
	}
}

func read(t *testing.T, fd int) string {
	t.Helper()
	var p [16]byte
	n, err := unix.Read(fd, p[:])
	require.NoError(t, err)
	return string(p[:n])
}

// A send that finds no room goes through the ring, which waits for it, and the bytes stay in order.
func TestSendPastTheRingFindsNoRoom(t *testing.T) {
	d := openDirect(t)
	o, peer := attach(t, d)
	all := make([]byte, 4<<20)
	for i := range all {
		all[i] = byte(i ^ i>>8 ^ i>>16)
	}
	left, got := all, []byte(nil)
	direct, pending := 0, false
	for len(got) < len(all) {
		turn(t, d)
		if pending && len(o.Sends) > 0 {
			require.NoError(t, o.SendErr)
			left, o.Sends, pending = left[o.Sends[0]:], nil, false
		}
		for len(left) > 0 && !pending {
			n, err := d.Send(&o.Socket, [][]byte{left})
			if pending = err == backend.ErrPending; pending {
				break
			}
			require.NoError(t, err)
			direct++
			left = left[n:]
		}
		if pending || len(left) == 0 {
			p := make([]byte, 64<<10)
			n, err := unix.Read(peer, p)
			require.NoError(t, err)
			got = append(got, p[:n]...)
		}
	}
	assert.True(t, bytes.Equal(all, got))
	assert.Positive(t, direct)
}

// A send past the ring to a peer that is gone says so at once.
func TestSendPastTheRingFails(t *testing.T) {
	d := openDirect(t)
	o, peer := attach(t, d)
	turn(t, d)
	require.NoError(t, unix.Shutdown(o.FD(), unix.SHUT_WR))
	_, err := d.Send(&o.Socket, [][]byte{[]byte("x")})
	assert.Equal(t, unix.EPIPE, err)
	drivertest.Shut(t, peer, unix.SHUT_RDWR)
}
