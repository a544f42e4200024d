//go:build linux

package uring

import (
	"math/bits"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// checked is a driver whose requests are counted after every Poll.
type checked struct {
	*Driver
	t *testing.T
}

// Poll implements backend.Driver.
func (d checked) Poll(wait time.Duration) (int, error) {
	d.t.Helper()
	n, err := d.Driver.Poll(wait)
	checkCounts(d.t, d.Driver)
	return n, err
}

// inFlight returns the number of requests in the state of a socket.
func inFlight(s *backend.Socket) int {
	return bits.OnesCount32(s.State & (armed | watched | sending | roomPolled | connecting))
}

// checkCounts fails the test if requests in flight are counted wrongly: with too few a descriptor is closed that the
// kernel still uses, with too many it never is.
func checkCounts(t *testing.T, d *Driver) {
	t.Helper()
	d.All(func(s *backend.Socket) {
		if n := inFlight(s); n != int(s.InFlight) { // require would cost too much here
			require.FailNow(t, "wrong count", "%d requests of a socket are counted, and %d are in flight: state %#x", s.InFlight, n, s.State)
		}
	})
}

// pretend counts a request as in flight that the kernel knows nothing of.
func pretend(d *Driver, s *backend.Socket, bit uint32) {
	s.State |= bit
	s.InFlight++
	d.requests++
}

// fill lets the kernel complete what it can. The completions stay in their queue.
func fill(t *testing.T, d *Driver) {
	t.Helper()
	for deadline := time.Now().Add(patience); d.ring.Ready() == 0; {
		require.NoError(t, d.ring.Enter())
		require.True(t, time.Now().Before(deadline), "no completion")
	}
}

// completed handles a completion that the kernel has not posted.
func completed(d *Driver, op uint64, s *backend.Socket, result int32) {
	d.complete(ring.CQE{UserData: op | uint64(s.ID), Res: result}, nil)
}
