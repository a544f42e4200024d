//go:build linux

package uring

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// shared attaches a listening socket that others have, too, and begins to accept.
func shared(t *testing.T, d *Driver, l int) *drivertest.Recorder {
	t.Helper()
	own, err := backend.Duplicate(l)
	require.NoError(t, err)
	t.Cleanup(func() { backend.CloseFD(own) })
	o := drivertest.Attach(t, d, own)
	o.Socket.Shared.Store(true)
	d.Accept(&o.Socket, true)
	turn(t, d)
	return o
}

func closeConns(o *drivertest.Recorder) {
	for _, fd := range o.Conns {
		backend.CloseFD(fd)
	}
}

// A connection wakes whoever shares the socket, also if another ring is asked first and does nothing: it may belong to a
// process that has stopped, or to a listener that is being closed.
func TestSharedSocketIsWoken(t *testing.T) {
	const rung = "defer" // where a ring that is not polled accepts nothing
	first, second := open(t, Config{Rung: rung}, new(backend.Counters)), open(t, Config{Rung: rung}, new(backend.Counters))
	l := drivertest.Listen(t, 5)
	idle := drivertest.Attach(t, first, l)
	first.Accept(&idle.Socket, true)
	turn(t, first)
	o := shared(t, second, l)
	for n := range 3 {
		drivertest.Dial(t, l)
		until(t, second, func() bool { return len(o.Conns) == n+1 })
	}
	assert.Empty(t, idle.Conns)
	closeConns(o)
	release(t, second, o)
	release(t, first, idle)
}
