package results_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestJoin(t *testing.T) {
	loads := benchtest.ClosedLoads
	y := benchtest.Synthetic{Seed: 1, Impls: []string{results.Floor, "net"}, Workloads: loads[:1], Rounds: 5}
	first := y.Run()
	y.Workloads, y.Impls, y.Rounds = loads[1:2], []string{results.Floor, "gnet"}, 3
	if err := first.Join(y.Run()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(results.ServerOrder(first), " "); got != "bare-epoll net gnet" || len(first.Samples) != 2*5+2*3 {
		t.Errorf("%s, %d samples", got, len(first.Samples))
	}
	if len(first.Notes) != 1 || !strings.Contains(first.Notes[0], "3 rounds") {
		t.Errorf("notes: %q", first.Notes)
	}
	y.Workloads = loads[2:3]
	other := y.Run()
	other.Machine.Kernel = "Linux 7.0.0"
	if err := first.Join(other); err == nil || !strings.Contains(err.Error(), `kernel is "Linux 7.0.0" there`) {
		t.Errorf("another kernel: %v", err)
	}
}

func TestResultsComeBackAsTheyWere(t *testing.T) {
	r := benchtest.ExampleResults(t)
	path := filepath.Join(t.TempDir(), "results.json")
	for range 2 { // the second time over the first
		if err := results.Write(path, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := results.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Error("what was read differs from what was written")
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("beside the file there is something: %v", left)
	}
}

func TestRoundsAreMergedIntoOneHistogram(t *testing.T) {
	for _, sec := range results.Summarise(benchtest.ExampleResults(t)) {
		for _, sum := range sec.Rows {
			if sec.Workload.Kind == workload.KindIdle {
				if sum.Latencies != nil || !sum.PerConn.Known() {
					t.Fatalf("%s: %+v", sec.Title(), sum)
				}
				continue
			}
			if got := sum.Latencies.TotalCount(); got != 5*2000 {
				t.Fatalf("%s, %s: %d latencies", sec.Title(), sum.Impl, got)
			}
		}
	}
}
