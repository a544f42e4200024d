//go:build linux

package epoll

import (
	"testing"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

func TestForward(t *testing.T) {
	for name, open := range sleeps {
		t.Run(name, func(t *testing.T) {
			drivertest.RunForward(t, func(t *testing.T, count *backend.Counters) backend.Driver { return open(t, count) })
		})
	}
}

func TestForwardersShareATurn(t *testing.T) {
	d := open(t, Config{}, new(backend.Counters))
	drivertest.RunForwardShares(t, d, d.forward.Share)
}
