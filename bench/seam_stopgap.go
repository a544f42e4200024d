//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/HdrHistogram/hdrhistogram-go"
)

func writeResults(path string, r *results) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o666)
}

func printTable(w io.Writer, r *results) {
	for _, s := range r.Samples {
		var p50, p99 int64
		if s.Latency != "" {
			if h, err := hdrhistogram.Decode([]byte(s.Latency)); err == nil {
				p50, p99 = h.ValueAtPercentile(50), h.ValueAtPercentile(99)
			}
		}
		m := float64(max(s.Messages, 1))
		fmt.Fprintf(w, "%-40v r%d %-13s %9.0f/s p50 %7.1f p99 %8.1f us cpu %7.0f ns (u %v s %v) load %3.0f%% late %d behind %d vol %d inv %d sysc %.2f mallocs/msg %.3f gcs %d %v rss %d KiB perconn %.0f\n",
			s.Workload, s.Round, s.Impl, float64(s.Messages)/s.Window.Seconds(), float64(p50)/1e3, float64(p99)/1e3,
			float64(s.ServerCPU)/m, s.ServerUser, s.ServerSys, 100*float64(s.ClientCPU)/float64(s.Window), s.Late, s.Behind,
			s.Voluntary, s.Involuntary, float64(s.Syscalls)/m, float64(s.Mallocs)/m, s.GCs, s.GCPause, s.Resident>>10, s.PerConn)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	for _, n := range r.Failures {
		fmt.Fprintln(w, "FAILED:", n)
	}
}
