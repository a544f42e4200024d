package results_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestJoin(t *testing.T) {
	loads := benchtest.ClosedLoads
	y := benchtest.Synthetic{Seed: 1, Impls: []string{results.Floor, "net"}, Workloads: loads[:1], Rounds: 5}
	first := y.Run()
	y.Workloads, y.Impls, y.Rounds = loads[1:2], []string{results.Floor, "gnet"}, 3
	require.NoError(t, first.Join(y.Run()))
	assert.Equal(t, []string{"bare-epoll", "net", "gnet"}, results.ServerOrder(first))
	assert.Len(t, first.Samples, 2*5+2*3)
	require.Len(t, first.Notes, 1)
	assert.Contains(t, first.Notes[0], "3 rounds")
	y.Workloads = loads[2:3]
	other := y.Run()
	other.Machine.Kernel = "Linux 7.0.0"
	assert.ErrorContains(t, first.Join(other), `kernel is "Linux 7.0.0" there`)
}

func TestResultsComeBackAsTheyWere(t *testing.T) {
	r := benchtest.ExampleResults(t)
	path := filepath.Join(t.TempDir(), "results.json")
	for range 2 { // the second time over the first
		require.NoError(t, results.Write(path, r))
	}
	got, err := results.Read(path)
	require.NoError(t, err)
	assert.Equal(t, r, got)
	left, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing is left beside the file")
}

func TestRoundsAreMergedIntoOneHistogram(t *testing.T) {
	for _, sec := range results.Summarise(benchtest.ExampleResults(t)) {
		for _, sum := range sec.Rows {
			if sec.Workload.Kind == workload.KindIdle {
				require.Nil(t, sum.Latencies, sec.Title())
				require.True(t, sum.PerConn.Known(), sec.Title())
				continue
			}
			require.Equal(t, int64(5*2000), sum.Latencies.TotalCount(), "%s, %s", sec.Title(), sum.Impl)
		}
	}
}
