package tandem_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/backendtest"
)

// TestContract keeps the page of rules and the subtests in step.
func TestContract(t *testing.T) {
	page, err := os.ReadFile("session/CONTRACT.md")
	require.NoError(t, err)
	written := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^- \*\*(S\d\d)\*\* `).FindAllSubmatch(page, -1) {
		written[string(m[1])] = true
	}
	require.NotEmpty(t, written)
	tested := map[string]bool{}
	for _, r := range backendtest.Rules() {
		if number, _, _ := strings.Cut(r.Name, "_"); regexp.MustCompile(`^S\d\d$`).MatchString(number) {
			tested[number] = true
		}
	}
	for number := range written {
		assert.True(t, tested[number], "rule %s of the contract has no subtest", number)
	}
	for number := range tested {
		assert.True(t, written[number], "subtests for rule %s, which the contract does not have", number)
	}
}
