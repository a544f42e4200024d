package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
)

func TestTheReportHidesNothing(t *testing.T) {
	r := benchtest.ExampleResults(t)
	r.Notes = append(r.Notes, strings.Repeat("a long note ", 50)+"and its end")
	text, err := HTML(r, nil)
	require.NoError(t, err)
	page := string(text)
	order := []string{
		"<title>synthetic: 9 servers, echo", "Failures</h2>", "wrong byte &lt;&amp;&gt;", "Read this first", "and its end",
		"Example CPU @ 2.50GHz", "performance", "v2.10.0", "Mitigation: Enhanced IBRS", "as a multiple of the floor",
		"<svg", "Every sample",
	}
	at := 0
	for _, want := range order {
		i := strings.Index(page[at:], want)
		require.GreaterOrEqual(t, i, 0, "no %q behind what stands before it", want)
		at += i
	}
	for _, bad := range []string{"<script", "http:", "https:", "url(", "@import", "<link", "<img"} {
		assert.NotContains(t, page, bad)
	}
	assert.Equal(t, len(r.Samples)+1, strings.Count(page[at:], "<tr>"), "lines of samples")
}

func TestTheReportOfNothing(t *testing.T) {
	for name, r := range map[string]*results.Results{
		"an empty run": {Format: results.Format},
		"one that failed": {Format: results.Format, Failures: []string{"net: did not start"},
			Servers: []results.Server{{Impl: "net"}}},
		"one sample without anything": {Samples: []results.Sample{{Impl: "net", Workload: benchtest.ClosedLoads[0]}}},
	} {
		text, err := HTML(r, nil)
		require.NoError(t, err, name)
		assert.Contains(t, string(text), "</html>", name)
		assert.NotContains(t, string(text), "NaN", name)
	}
}
