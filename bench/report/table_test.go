package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
)

func TestPrintTable(t *testing.T) {
	var b strings.Builder
	Table(&b, benchtest.ExampleResults(t))
	benchtest.Golden(t, "table.txt", b.String())
}

func TestPrintTableOfNothing(t *testing.T) {
	var b strings.Builder
	Table(&b, &results.Results{Failures: []string{"net: did not start"}})
	for _, want := range []string{"FAILED: net: did not start\n", "note: nothing was measured\n", "unknown machine\n"} {
		assert.Contains(t, b.String(), want)
	}
}
