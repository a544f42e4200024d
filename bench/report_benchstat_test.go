package main

import (
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

func TestBenchstatReadsEverySample(t *testing.T) {
	r := exampleResults(t)
	var text strings.Builder
	if err := printBenchstat(&text, r); err != nil {
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
			if want.Workload.Kind == idleLoad {
				continue
			}
			// benchfmt gives ns/op as sec/op.
			got, ok := record.Value("sec/op")
			if cpu := want.cpuPerMessage() / 1e9; !ok || got < cpu*0.999 || got > cpu*1.001 {
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
	for want, s := range map[string]sample{
		"BenchmarkEcho/impl=net/conns=64/size=64/depth=1":                  {Impl: "net", Workload: workload{"echo", 64, 64, 1, 0}},
		"BenchmarkFrameEcho/impl=gnet/conns=8/size=16/depth=16/rate=50000": {Impl: "gnet", Workload: workload{"frame-echo", 8, 16, 16, 50000}},
	} {
		if got := benchName(s); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
