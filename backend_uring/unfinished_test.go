//go:build linux

package uring

import (
	"bytes"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/drivertest"
)

// A driver that could not wait for its requests keeps for good what these may still use, and no more: neither the pages of
// its receive buffers, nor its sockets, which whole Transports hang on.
func TestUnfinishedKeepsLittle(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		receiving := func() weak.Pointer[drivertest.Recorder] {
			o, _ := attach(t, d)
			turn(t, d)
			return weak.Make(o)
		}()
		for i := range d.buffers.slabs[0] {
			d.buffers.slabs[0][i] = 1
		}
		done := make(chan bool)
		go func() { done <- closesSoon(t, d) }()
		require.True(t, <-done, "nothing is tested: no request was in flight")
		assert.Equal(t, -1, bytes.IndexByte(d.buffers.slabs[0], 1), "the pages of the buffers were not given back")
		assert.Eventually(t, func() bool { runtime.GC(); return receiving.Value() == nil }, patience, time.Millisecond, "the socket is still reachable")
	})
}

// Buffers that an owner has kept are whole for as long as it keeps them.
func TestUnfinishedKeepsWhatIsKept(t *testing.T) {
	forEachRung(t, Config{Buffers: 4, BufferSize: 4 << 10}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		var got []byte
		var release func()
		o.OnBytes = func(p []byte) { got, release = p, d.Keep() }
		drivertest.Send(t, peer, []byte("kept"))
		until(t, d, func() bool { return got != nil })
		require.NotNil(t, release)
		done := make(chan bool)
		go func() { done <- closesSoon(t, d) }()
		require.True(t, <-done, "nothing is tested: no request was in flight")
		assert.Equal(t, "kept", string(got))
		release()
		assert.Equal(t, []byte{0, 0, 0, 0}, got, "the pages were not given back")
	})
}
