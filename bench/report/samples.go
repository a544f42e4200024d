package report

import (
	"fmt"
	"time"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
)

// sampleCells are all samples, as they were measured; the first line is the head. What was not measured is unknown.
func sampleCells(r *results.Results) [][]string {
	cells := [][]string{{"server", "workload", "round", "messages", "msg/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs",
		"CPU ns/msg", "user ms", "system ms", "waited ms", "load CPU ms", "load waited ms", "calls/msg", "switches",
		"forced switches", "mallocs/msg", "GCs", "GC pause ms", "resident MB", "bytes/conn", "late"}}
	number := func(v float64, text func(float64) string) string {
		if v == 0 {
			return format.Unknown
		}
		return text(v)
	}
	ms := func(d time.Duration) string {
		return number(d.Seconds()*1e3, func(v float64) string { return fmt.Sprintf("%.1f", v) })
	}
	for _, s := range r.Samples {
		line := []string{s.Impl, s.Workload.String(), fmt.Sprint(s.Round + 1), number(float64(s.Messages), format.Grouped),
			number(s.Rate(), format.Grouped)}
		h, err := s.Latencies()
		for _, p := range []float64{50, 99, 99.9, 100} {
			if err != nil || h == nil || h.TotalCount() == 0 {
				line = append(line, format.Unknown)
				continue
			}
			line = append(line, format.Micros(float64(h.ValueAtPercentile(p))))
		}
		cells = append(cells, append(line, number(s.CPUPerMessage(), format.Grouped), ms(s.ServerUser), ms(s.ServerSys),
			ms(s.ServerWait), ms(s.ClientCPU), ms(s.ClientWait), number(results.PerMessage(s.Syscalls, s), format.TwoDigits),
			number(float64(s.Voluntary), format.Grouped), number(float64(s.Involuntary), format.Grouped),
			number(results.PerMessage(s.Mallocs, s), format.TwoDigits), number(float64(s.GCs), format.Grouped), ms(s.GCPause),
			number(float64(s.Resident)/1e6, func(v float64) string { return fmt.Sprintf("%.1f", v) }),
			number(s.PerConn, format.Grouped), number(float64(s.Late), format.Grouped)))
	}
	return cells
}
