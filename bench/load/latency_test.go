//go:build linux

package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
				if limit := want + want/1000 + 1; got < want || got > limit {
					t.Errorf("p%v = %d, want %d to %d", p, got, want, limit)
				}
			}
		})
	}
}

func TestLatenciesCountManyAtOnceAndForget(t *testing.T) {
	l := newLatencies()
	l.record(1000, 99)
	l.record(5000, 1)
	if got := l.percentile(99); got != 1000 {
		t.Errorf("p99 = %d, want 1000", got)
	}
	l.reset()
	l.record(7, 1)
	if got := l.percentile(100); got != 7 {
		t.Errorf("after reset: p100 = %d, want 7", got)
	}
}

func TestLatenciesOutOfRangeCountAsTheLongest(t *testing.T) {
	l := newLatencies()
	l.record(10*longestLatency, 1)
	l.record(-1, 1)
	if got := l.percentile(100); got < longestLatency || got > longestLatency+longestLatency/1000 {
		t.Errorf("p100 = %v, want about %v", got, longestLatency)
	}
	if got := l.percentile(50); got != 0 {
		t.Errorf("p50 = %v, want 0", got)
	}
}
