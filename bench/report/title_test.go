package report

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestTheTitleSaysWhatWasMeasured(t *testing.T) {
	echo := workload.Workload{Kind: "echo", Conns: 64, Size: 64, Depth: 1}
	fast := workload.Workload{Kind: "echo", Conns: 1000, Size: 16 << 10, Depth: 16}
	paced := workload.Workload{Kind: "worker", Conns: 64, Size: 64, Depth: 1, Rate: 20_000}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		r    results.Results
		want string
	}{
		"one server and one shape": {
			results.Results{Samples: []results.Sample{{Impl: "net", Workload: echo}}},
			"net, echo: 64 connections × 64 B; unknown machine",
		},
		"everything": {
			results.Results{
				Label: "before", Began: at, Took: 90 * time.Second, Setting: results.Setting{Rounds: 4},
				Machine: results.Machine{CPU: "Intel(R) Xeon(R)", CPUs: 2, Kernel: "6.18 amd64", Virtual: "KVM"},
				Samples: []results.Sample{{Impl: "net", Workload: echo}, {Impl: "gnet", Workload: fast}, {Impl: "gnet", Workload: paced}},
			},
			"before: 2 servers, echo, worker: 64 to 1000 connections × 64 B to 16 KiB, 1 to 16 in flight, 20,000/s offered; " +
				"Intel Xeon, 2 CPUs, 6.18 amd64, under KVM; 2026-03-04 05:06 UTC, took 90 s, 4 rounds",
		},
		"nothing": {results.Results{}, "nothing was measured; unknown machine"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, headingOf(&c.r).String()) })
	}
}

// TestEveryFormHasTheTitle looks for the shapes, the machine, the date and the duration in each.
func TestEveryFormHasTheTitle(t *testing.T) {
	r := benchtest.ExampleResults(t)
	h := headingOf(r)
	require.Contains(t, h.When, "took 20 min")
	page, err := HTML(r, nil)
	require.NoError(t, err)
	assert.Contains(t, string(page), "<title>"+h.String()+"</title>")
	assert.Contains(t, string(page), "<h1>"+h.What+"</h1>")
	for _, part := range h.lines() {
		assert.Equal(t, 2, strings.Count(string(page), part), "in the title and above the page: %s", part)
	}
	var tables strings.Builder
	require.NoError(t, Markdown(&tables, r))
	assert.Contains(t, tables.String(), "**"+h.What+".** "+h.When)
	assert.Contains(t, tables.String(), r.Machine.CPU)
}
