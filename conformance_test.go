package tandem_test

import (
	"testing"

	"github.com/tandem-io/tandem/backend/backendtest"
)

// TestConformance runs the whole contract: TestConformance/uring/S14_PeersFIN is one rule on one backend.
func TestConformance(t *testing.T) {
	for _, s := range backendtest.Setups() {
		t.Run(s.Name, func(t *testing.T) { backendtest.Run(t, s) })
	}
}
