package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/tandem-io/tandem/bench/results"
)

// Benchstat writes every sample as a line in the format of Go's benchmarks, for benchstat and whatever else reads it:
//
//	BenchmarkEcho/impl=net/conns=64/size=64/depth=1   53000   4380 ns/op   53000 msg/s   612000 p50-ns …
//
// ns/op is CPU time of the server per message.
func Benchstat(w io.Writer, r *results.Results) error {
	var b strings.Builder
	configuration(&b, r)
	for _, s := range r.Samples {
		fields := benchFields(s)
		if len(fields) > 0 {
			fmt.Fprintf(&b, "%s\t%d\t%s\n", benchName(s), max(s.Messages, 1), strings.Join(fields, "\t"))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// configuration writes the lines at the head, which hold for all that follow.
func configuration(b *strings.Builder, r *results.Results) {
	line := func(key, value string) {
		if value = strings.Join(strings.Fields(value), " "); value != "" {
			fmt.Fprintf(b, "%s: %s\n", key, value)
		}
	}
	line("pkg", "github.com/tandem-io/tandem/bench")
	line("cpu", r.Machine.CPU)
	line("kernel", r.Machine.Kernel)
	line("governor", r.Machine.Governor)
	line("virtual", r.Machine.Virtual)
	line("go", r.Machine.Go)
	line("program", r.Program)
	line("label", r.Label)
	line("network", r.Setting.Network)
	line("procs", fmt.Sprint(r.Setting.Procs))
	line("window", r.Setting.Window.String())
	for unit, better := range map[string]string{"msg/s": "higher", "B/s": "higher"} {
		fmt.Fprintf(b, "Unit %s better=%s\n", unit, better)
	}
	b.WriteByte('\n')
}

// benchName encodes the workload so that benchstat can use each part as a column.
func benchName(s results.Sample) string {
	var kind strings.Builder
	for word := range strings.SplitSeq(s.Workload.Kind, "-") {
		kind.WriteString(strings.ToUpper(word[:min(1, len(word))]) + word[min(1, len(word)):])
	}
	name := fmt.Sprintf("Benchmark%s/impl=%s/conns=%d/size=%d/depth=%d", kind.String(), s.Impl, s.Workload.Conns,
		s.Workload.Size, s.Workload.Depth)
	if s.Workload.Rate > 0 {
		name += fmt.Sprintf("/rate=%d", s.Workload.Rate)
	}
	return name
}

// benchFields are the numbers with their units. What was not measured is left out.
func benchFields(s results.Sample) []string {
	var fields []string
	add := func(value float64, unit string) {
		if value > 0 {
			fields = append(fields, fmt.Sprintf("%.6g %s", value, unit))
		}
	}
	add(s.CPUPerMessage(), "ns/op")
	add(s.Rate(), "msg/s")
	add(s.Bandwidth(), "B/s")
	if h, err := s.Latencies(); err == nil && h != nil && h.TotalCount() > 0 {
		add(float64(h.ValueAtPercentile(50)), "p50-ns")
		add(float64(h.ValueAtPercentile(99)), "p99-ns")
		add(float64(h.ValueAtPercentile(99.9)), "p99.9-ns")
	}
	add(results.PerMessage(s.Syscalls, s), "calls/op")
	add(results.PerMessage(s.Mallocs, s), "allocs/op")
	add(float64(s.Resident), "resident-bytes")
	add(s.PerConn, "bytes/conn")
	return fields
}
