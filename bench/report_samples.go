package main

import (
	"fmt"
	"time"
)

// sampleCells are all samples, as they were measured; the first line is the head. What was not measured is unknown.
func sampleCells(r *results) [][]string {
	cells := [][]string{{"server", "workload", "round", "messages", "msg/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs",
		"CPU ns/msg", "user ms", "system ms", "waited ms", "load CPU ms", "load waited ms", "calls/msg", "switches",
		"forced switches", "mallocs/msg", "GCs", "GC pause ms", "resident MB", "bytes/conn", "late"}}
	number := func(v float64, text func(float64) string) string {
		if v == 0 {
			return unknown
		}
		return text(v)
	}
	ms := func(d time.Duration) string {
		return number(d.Seconds()*1e3, func(v float64) string { return fmt.Sprintf("%.1f", v) })
	}
	for _, s := range r.Samples {
		line := []string{s.Impl, workloadTitle(s.Workload), fmt.Sprint(s.Round + 1), number(float64(s.Messages), grouped),
			number(s.rate(), grouped)}
		h, err := s.latencies()
		for _, p := range []float64{50, 99, 99.9, 100} {
			if err != nil || h == nil || h.TotalCount() == 0 {
				line = append(line, unknown)
				continue
			}
			line = append(line, microsText(float64(h.ValueAtPercentile(p))))
		}
		cells = append(cells, append(line, number(s.cpuPerMessage(), grouped), ms(s.ServerUser), ms(s.ServerSys),
			ms(s.ServerWait), ms(s.ClientCPU), ms(s.ClientWait), number(perMessage(s.Syscalls, s), twoDigits),
			number(float64(s.Voluntary), grouped), number(float64(s.Involuntary), grouped),
			number(perMessage(s.Mallocs, s), twoDigits), number(float64(s.GCs), grouped), ms(s.GCPause),
			number(float64(s.Resident)/1e6, func(v float64) string { return fmt.Sprintf("%.1f", v) }),
			number(s.PerConn, grouped), number(float64(s.Late), grouped)))
	}
	return cells
}
