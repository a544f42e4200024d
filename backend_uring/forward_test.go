//go:build linux

package uring

import (
	"testing"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/backend_uring/ring/ringtest"
)

func TestForward(t *testing.T) {
	for _, name := range rungNames() {
		for variant, c := range map[string]Config{
			"": {}, "-tiny": {Entries: 1, CompletionEntries: 2},
			"-wild": {Kernel: emulated(t, 1, ringtest.Wild(1))},
		} {
			c.Rung = name
			t.Run(name+variant, func(t *testing.T) {
				drivertest.RunForward(t, func(t *testing.T, count *backend.Counters) backend.Driver {
					return checked{open(t, c, count), t}
				})
			})
		}
	}
}

func TestForwardersShareATurn(t *testing.T) {
	d := open(t, Config{}, new(backend.Counters))
	drivertest.RunForwardShares(t, d, d.forward.Share)
}
