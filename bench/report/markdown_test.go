package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
)

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	r := benchtest.ExampleResults(t)
	require.NoError(t, Markdown(&b, r))
	benchtest.Golden(t, "report.md", b.String())
}
