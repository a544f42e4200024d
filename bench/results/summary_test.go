package results

import (
	"testing"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{0, 0}, Spread{}},
		{[]float64{7}, Spread{1, 7, 7, 7}},
		{[]float64{3, 0, 1, 2}, Spread{3, 2, 1, 3}},
		{[]float64{4, 1, 3, 2}, Spread{4, 2.5, 1, 4}},
	} {
		if got := SpreadOf(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
	}
	if got := (Spread{3, 10, 9, 13}).PlusMinus(); got != 0.3 {
		t.Errorf("plusMinus is %v, want 0.3", got)
	}
}

func TestTheRatioIsOfOneRound(t *testing.T) {
	load := workload.Workload{Kind: "echo", Conns: 64, Size: 64, Depth: 1, Rate: 0}
	r := &Results{Servers: []Server{{Impl: "net"}, {Impl: Floor}}}
	for round, cpu := range []time.Duration{1000, 3000, 2000} { // the machine drifts
		for impl, factor := range map[string]time.Duration{Floor: 2, "net": 3} {
			r.Samples = append(r.Samples, Sample{Impl: impl, Workload: load, Round: round, Messages: 1000,
				Window: time.Second, ServerCPU: 1000 * cpu * factor / 2})
		}
	}
	sections := Summarise(r)
	if len(sections) != 1 || len(sections[0].Rows) != 2 {
		t.Fatalf("%+v", sections)
	}
	net := sections[0].Rows[0]
	if want := (Spread{3, 3000, 1500, 4500}); net.CPU != want {
		t.Errorf("CPU %+v, want %+v", net.CPU, want)
	}
	if want := (Spread{3, 1.5, 1.5, 1.5}); net.Ratio != want {
		t.Errorf("ratio %+v, want %+v", net.Ratio, want)
	}
}
