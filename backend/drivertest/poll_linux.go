package drivertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// Turn polls once, without sleeping, and returns how many events there were.
func Turn(t *testing.T, d backend.Driver) int {
	t.Helper()
	n, err := d.Poll(0)
	require.NoError(t, err)
	return n
}

// Until polls until done reports true, for Patience at most.
func Until(t *testing.T, d backend.Driver, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !done(); {
		require.True(t, time.Now().Before(deadline), "the event does not come")
		_, err := d.Poll(time.Millisecond)
		require.NoError(t, err)
	}
}

// Polls polls for that long and returns how often Poll returned.
func Polls(t *testing.T, d backend.Driver, during time.Duration) (n int) {
	t.Helper()
	end := time.Now().Add(during)
	for left := during; left > 0; left = time.Until(end) { // a negative wait would be one for ever
		_, err := d.Poll(left)
		require.NoError(t, err)
		n++
	}
	return n
}

// Sleep polls once, for Patience at most, and returns how long that took.
func Sleep(t *testing.T, d backend.Driver) time.Duration {
	t.Helper()
	began := time.Now()
	_, err := d.Poll(Patience)
	require.NoError(t, err)
	return time.Since(began)
}

// Release releases sockets, waits until they are released, and fails the test if anything is outstanding then.
func Release(t *testing.T, d backend.Driver, all ...*Recorder) {
	t.Helper()
	for _, o := range all {
		d.Release(&o.Socket)
	}
	for _, o := range all {
		Until(t, d, func() bool { return o.Gone })
	}
	assert.Equal(t, backend.Outstanding{}, d.Outstanding(), "after the last release")
}
