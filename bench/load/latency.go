//go:build linux

package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histogram holds nanoseconds up to longestLatency with three significant digits, so a percentile is at most one
// part in a thousand above the exact one.
const (
	longestLatency    = time.Minute
	significantDigits = 3
)

// latencies counts how long answers took.
type latencies struct {
	h *hdrhistogram.Histogram
}

func newLatencies() latencies {
	return latencies{hdrhistogram.New(1, int64(longestLatency), significantDigits)}
}

// record counts n answers that took d. Longer times count as longestLatency.
func (l latencies) record(d time.Duration, n int) {
	// The error says that the value is out of range, which it cannot be.
	_ = l.h.RecordValues(int64(max(0, min(d, longestLatency))), int64(n))
}

func (l latencies) reset() { l.h.Reset() }

// percentile is the latency that p percent of the answers did not exceed.
func (l latencies) percentile(p float64) time.Duration {
	return time.Duration(l.h.ValueAtPercentile(p))
}

// encode returns the text that a sample carries, or "" if nothing was recorded.
func (l latencies) encode() (string, error) {
	if l.h.TotalCount() == 0 {
		return "", nil
	}
	text, err := l.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("encode the latencies: %w", err)
	}
	return string(text), nil
}
