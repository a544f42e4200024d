package report

import (
	"strings"
	"testing"

	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/perf/benchfmt"
)

func TestBenchstatReadsEverySample(t *testing.T) {
	r := benchtest.ExampleResults(t)
	var text strings.Builder
	if err := Benchstat(&text, r); err != nil {
		t.Fatal(err)
	}
	reader := benchfmt.NewReader(strings.NewReader(text.String()), "test")
	n := 0
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			want := r.Samples[n]
			n++
			if got := record.GetConfig("cpu"); got != r.Machine.CPU {
				t.Fatalf("cpu is %q", got)
			}
			if !strings.Contains(string(record.Name), "/impl="+want.Impl+"/") {
				t.Fatalf("%s is not of %s", record.Name, want.Impl)
			}
			if want.Workload.Kind == workload.KindIdle {
				continue
			}
			// benchfmt gives ns/op as sec/op.
			got, ok := record.Value("sec/op")
			if cpu := want.CPUPerMessage() / 1e9; !ok || got < cpu*0.999 || got > cpu*1.001 {
				t.Fatalf("%s: %v, want %v s of CPU time", record.Name, got, cpu)
			}
		case *benchfmt.SyntaxError:
			t.Fatal(record)
		}
	}
	if err := reader.Err(); err != nil || n != len(r.Samples) {
		t.Fatalf("%d of %d samples: %v", n, len(r.Samples), err)
	}
	if better, ok := reader.Units().Get("msg/s", "better"), true; !ok || better == nil || better.Value != "higher" {
		t.Errorf("msg/s: better is %v", better)
	}
}

func TestBenchstatNames(t *testing.T) {
	for want, s := range map[string]results.Sample{
		"BenchmarkEcho/impl=net/conns=64/size=64/depth=1":                  {Impl: "net", Workload: workload.Workload{Kind: "echo", Conns: 64, Size: 64, Depth: 1, Rate: 0}},
		"BenchmarkFrameEcho/impl=gnet/conns=8/size=16/depth=16/rate=50000": {Impl: "gnet", Workload: workload.Workload{Kind: "frame-echo", Conns: 8, Size: 16, Depth: 16, Rate: 50000}},
	} {
		if got := benchName(s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
