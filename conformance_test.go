package tandem_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/backend/backendtest"
)

// TestConformance runs the whole contract: TestConformance/uring/S14_PeersFIN is one rule on one backend.
func TestConformance(t *testing.T) {
	for _, s := range backendtest.Setups() {
		t.Run(s.Name, func(t *testing.T) { backendtest.Run(t, s) })
	}
}

// TestEveryRuleHasASubtest fails if a promise is not tested. S24, the deadlines of the net.Conn view, comes with that view.
func TestEveryRuleHasASubtest(t *testing.T) {
	tested := map[string]bool{}
	for _, r := range backendtest.Rules() {
		number, _, _ := strings.Cut(r.Name, "_")
		tested[number] = true
	}
	for i := 1; i <= 37; i++ {
		if number := fmt.Sprintf("S%02d", i); !tested[number] && number != "S24" {
			t.Errorf("no subtest for rule %s", number)
		}
	}
}
