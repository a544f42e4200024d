package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/perf/benchfmt"
)

func TestBenchstatReadsEverySample(t *testing.T) {
	r := benchtest.ExampleResults(t)
	var text strings.Builder
	require.NoError(t, Benchstat(&text, r))
	reader := benchfmt.NewReader(strings.NewReader(text.String()), "test")
	n := 0
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			want := r.Samples[n]
			n++
			require.Equal(t, r.Machine.CPU, record.GetConfig("cpu"))
			require.Contains(t, string(record.Name), "/impl="+want.Impl+"/")
			if want.Workload.Kind == workload.KindIdle {
				continue
			}
			// benchfmt gives ns/op as sec/op.
			got, ok := record.Value("sec/op")
			require.True(t, ok, record.Name)
			require.InEpsilon(t, want.CPUPerMessage()/1e9, got, 0.001, "CPU time of %s", record.Name)
		case *benchfmt.SyntaxError:
			require.Fail(t, "a line that benchstat does not understand", record)
		}
	}
	require.NoError(t, reader.Err())
	require.Len(t, r.Samples, n)
	better := reader.Units().Get("msg/s", "better")
	require.NotNil(t, better)
	assert.Equal(t, "higher", better.Value)
}

func TestBenchstatNames(t *testing.T) {
	for want, s := range map[string]results.Sample{
		"BenchmarkEcho/impl=net/conns=64/size=64/depth=1":                  {Impl: "net", Workload: workload.Workload{Kind: "echo", Conns: 64, Size: 64, Depth: 1, Rate: 0}},
		"BenchmarkFrameEcho/impl=gnet/conns=8/size=16/depth=16/rate=50000": {Impl: "gnet", Workload: workload.Workload{Kind: "frame-echo", Conns: 8, Size: 16, Depth: 16, Rate: 50000}},
	} {
		assert.Equal(t, want, benchName(s))
	}
}
