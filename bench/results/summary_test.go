package results

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		assert.Equal(t, c.want, SpreadOf(c.values), "of %v", c.values)
	}
	assert.Equal(t, 0.3, Spread{3, 10, 9, 13}.PlusMinus())
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
	require.Len(t, sections, 1)
	require.Len(t, sections[0].Rows, 2)
	net := sections[0].Rows[0]
	assert.Equal(t, Spread{3, 3000, 1500, 4500}, net.CPU)
	assert.Equal(t, Spread{3, 1.5, 1.5, 1.5}, net.Ratio)
}
