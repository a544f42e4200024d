//go:build linux

package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// exactPercentile is the smallest value that at least p percent of the sorted values do not exceed.
func exactPercentile(sorted []time.Duration, p float64) time.Duration {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func TestPercentilesAreWithinTheHistogramsPrecision(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	shapes := map[string]func() time.Duration{
		"uniform":  func() time.Duration { return time.Duration(rng.Int64N(int64(time.Second))) },
		"long":     func() time.Duration { return time.Duration(math.Exp(11 + 1.5*rng.NormFloat64())) },
		"constant": func() time.Duration { return 123456 },
		"two":      func() time.Duration { return []time.Duration{50_000, 10_000_000}[rng.IntN(2)] },
	}
	for name, draw := range shapes {
		t.Run(name, func(t *testing.T) {
			l := newLatencies()
			values := make([]time.Duration, 100_001)
			for i := range values {
				values[i] = draw()
				l.record(values[i], 1)
			}
			slices.Sort(values)
			for _, p := range []float64{50, 90, 99, 99.9, 100} {
				got, want := l.percentile(p), exactPercentile(values, p)
				assert.GreaterOrEqual(t, got, want, "p%v", p)
				assert.LessOrEqual(t, got, want+want/1000+1, "p%v", p)
			}
		})
	}
}

func TestLatenciesCountManyAtOnceAndForget(t *testing.T) {
	l := newLatencies()
	l.record(1000, 99)
	l.record(5000, 1)
	assert.Equal(t, time.Duration(1000), l.percentile(99))
	l.reset()
	l.record(7, 1)
	assert.Equal(t, time.Duration(7), l.percentile(100), "after reset")
}

func TestLatenciesOutOfRangeCountAsTheLongest(t *testing.T) {
	l := newLatencies()
	l.record(10*longestLatency, 1)
	l.record(-1, 1)
	assert.GreaterOrEqual(t, l.percentile(100), longestLatency)
	assert.LessOrEqual(t, l.percentile(100), longestLatency+longestLatency/1000)
	assert.Zero(t, l.percentile(50))
}
