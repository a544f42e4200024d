//go:build linux

package uring

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// The tests in this package cover what the conformance suite cannot see: how the driver counts buffers, slots and
// requests. Each begins with forEachRung.

const patience = drivertest.Patience

// open makes a driver that lives as long as the test.
func open(t *testing.T, c Config, count *backend.Counters) *Driver {
	t.Helper()
	d, err := New(c.withDefaults())
	if err != nil {
		refused(t, err)
	}
	t.Cleanup(func() { assert.NoError(t, d.Close()) })
	require.NoError(t, d.Start(count))
	return d
}

// refused ends a test that the kernel does not let run.
func refused(t testing.TB, err error) {
	t.Helper()
	require.NotEqual(t, "1", os.Getenv("TANDEM_REQUIRE_URING"), "TANDEM_REQUIRE_URING is set, but: %v", err)
	t.Skipf("SKIPPED, NOTHING WAS TESTED: io_uring is refused here: %v", err)
}

// forEachRung runs the test with a driver on every rung, whose sends go through the ring.
func forEachRung(t *testing.T, c Config, test func(*testing.T, *Driver)) {
	c.RingSends = true
	for _, name := range rungNames() {
		t.Run(name, func(t *testing.T) {
			c.Rung = name
			test(t, open(t, c, new(backend.Counters)))
		})
	}
}

func TestDriver(t *testing.T) {
	for _, name := range rungNames() {
		for variant, c := range map[string]Config{
			"": {}, "-eventfd": {EventFD: true}, "-tiny": {Entries: 1, CompletionEntries: 2}, "-ring-sends": {RingSends: true},
		} {
			t.Run(name+variant, func(t *testing.T) {
				c.Rung = name
				drivertest.Run(t, func(t *testing.T, count *backend.Counters) backend.Driver {
					return checked{open(t, c, count), t}
				})
			})
		}
	}
}

// attach makes a pair of sockets, one of which receives.
func attach(t *testing.T, d *Driver) (o *drivertest.Recorder, peer int) {
	t.Helper()
	return drivertest.Pair(t, checked{d, t})
}

func turn(t *testing.T, d *Driver) {
	t.Helper()
	drivertest.Turn(t, checked{d, t})
}

// until polls until done reports true.
func until(t *testing.T, d *Driver, done func() bool) {
	t.Helper()
	drivertest.Until(t, checked{d, t}, done)
}

// polls polls for that long and returns how often Poll returned.
func polls(t *testing.T, d *Driver, during time.Duration) int {
	t.Helper()
	return drivertest.Polls(t, checked{d, t}, during)
}

// release releases sockets, and fails the test if anything is outstanding afterwards.
func release(t *testing.T, d *Driver, all ...*drivertest.Recorder) {
	t.Helper()
	drivertest.Release(t, checked{d, t}, all...)
}
