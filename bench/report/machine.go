package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
)

// fact is a name with its value.
type fact struct{ Name, Value string }

// machineTable lists what a reader needs to judge the numbers.
func machineTable(r *results.Results) []fact {
	m, s := r.Machine, r.Setting
	facts := []fact{
		{"Program", r.Program}, {"CPU", m.CPU}, {"CPUs", fmt.Sprint(m.CPUs)},
		{"Memory", fmt.Sprintf("%.1f GiB", float64(m.Memory)/(1<<30))}, {"Kernel", m.Kernel}, {"Governor", m.Governor},
		{"Virtual machine", m.Virtual}, {"Go", m.Go},
		{"Measured", r.Began.UTC().Format("2006-01-02 15:04 UTC") + ", " + r.Took.Round(1e9).String()},
		{"Rounds", fmt.Sprintf("%d, each %v after %v of warm-up", s.Rounds, format.Duration(s.Window), format.Duration(s.Warmup))},
		{"GOMAXPROCS of the servers", fmt.Sprint(s.Procs)},
		{"CPUs of server, of load", orNone(numbers(s.ServerCPUs)) + "; " + orNone(numbers(s.LoadCPUs))},
		{"Network", s.Network},
	}
	for i := range facts {
		if facts[i].Value == "" {
			facts[i].Value = "unknown"
		}
	}
	return facts
}

func orNone(text string) string {
	if text == "" {
		return "not confined"
	}
	return text
}

// versionTable lists servers, modules, and mitigations.
func versionTable(r *results.Results) []fact {
	var facts []fact
	for _, s := range r.Servers {
		facts = append(facts, fact{s.Impl, serverLine(s)})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Machine.Modules)) {
		facts = append(facts, fact{name, r.Machine.Modules[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Machine.Mitigations)) {
		facts = append(facts, fact{"vulnerability " + name, r.Machine.Mitigations[name]})
	}
	return facts
}

// headLines describe the run, the machine and the settings.
func headLines(r *results.Results) []string {
	var lines []string
	if r.Label != "" {
		lines = append(lines, r.Label)
	}
	return append(lines, machineLine(r.Machine), settingLine(r.Setting))
}

// machineLine describes the machine in one line, as far as it is known.
func machineLine(m results.Machine) string {
	var parts []string
	add := func(pattern string, v any, ok bool) {
		if ok {
			parts = append(parts, fmt.Sprintf(pattern, v))
		}
	}
	add("%s", m.CPU, m.CPU != "")
	add("%d CPUs", m.CPUs, m.CPUs > 0)
	add("%.0f GiB", float64(m.Memory)/(1<<30), m.Memory > 0)
	add("%s", m.Kernel, m.Kernel != "")
	add("governor %s", m.Governor, m.Governor != "")
	add("under %s", m.Virtual, m.Virtual != "")
	add("%s", m.Go, m.Go != "")
	if len(parts) == 0 {
		return "unknown machine"
	}
	return strings.Join(parts, ", ")
}

// settingLine describes how it was measured.
func settingLine(s results.Setting) string {
	where := "not confined to CPUs"
	if len(s.ServerCPUs) > 0 {
		where = fmt.Sprintf("server on CPU %s, load on CPU %s", numbers(s.ServerCPUs), numbers(s.LoadCPUs))
	}
	text := fmt.Sprintf("%s; GOMAXPROCS of the servers %d; rounds %d", where, s.Procs, s.Rounds)
	if s.Window > 0 {
		text += fmt.Sprintf(", each measures %v after %v of warm-up", format.Duration(s.Window), format.Duration(s.Warmup))
	}
	if s.Network != "" {
		text += "; over " + s.Network
	}
	return text
}

func numbers(n []int) string {
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(n), "[]")), ",")
}

// serverLine is the description of a server.
func serverLine(s results.Server) string {
	var parts []string
	for _, p := range []string{s.About, s.Version, s.Details} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "; ")
}
