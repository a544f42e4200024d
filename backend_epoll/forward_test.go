//go:build linux

package epoll

import (
	"testing"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

func TestForward(t *testing.T) {
	for name, c := range configs {
		t.Run(name, func(t *testing.T) {
			drivertest.RunForward(t, func(t *testing.T, count *backend.Counters) backend.Driver { return open(t, c, count) })
		})
	}
}

func TestForwardersShareATurn(t *testing.T) {
	d := open(t, Config{}, new(backend.Counters))
	drivertest.RunForwardShares(t, d, d.forward.Share)
}
