package backendtest_test

import (
	"testing"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/backendtest"
	epoll "github.com/tandem-io/tandem/backend_epoll"
)

// The test of a driver, here of the one for epoll. TestConformance/epoll/S14_PeersFIN is then one rule.
func Example() {
	TestConformance := func(t *testing.T) { // func TestConformance(t *testing.T) in a file of its own
		setup := backendtest.Setup{
			Name: "epoll",
			Drivers: func(n backendtest.Need) ([]backend.Driver, error) {
				return backend.MakeDrivers(n.Loops, func() (backend.Driver, error) {
					return epoll.New(epoll.Config{LockedThread: n.Thread})
				})
			},
		}
		t.Run(setup.Name, func(t *testing.T) { backendtest.Run(t, setup) })
	}
	_ = TestConformance
	// Output:
}
