package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
)

//go:embed report.html.tmpl
var reportTemplate string

// page is what the template of the report shows.
type page struct {
	Title    string
	Style    template.CSS // of the charts
	Results  *results     // nil: only profiles
	Facts    []fact
	Versions []fact
	Failures []string
	Notes    []string
	Glance   *glance
	Sections []pageSection
	Samples  [][]string // every one; the first line is the head
	Profiles []template.HTML
}

// fact is a name and what is known by it.
type fact struct{ Name, Value string }

// pageSection is a section with its pictures.
type pageSection struct {
	ID      string
	Title   string
	Charts  []template.HTML
	Columns []column
	Rows    [][]string // the first column is the server
}

// glance is the ratio of every server under every workload.
type glance struct {
	Impls []string
	Lines []glanceLine
}

type glanceLine struct {
	Title string
	Cells []glanceCell
}

type glanceCell struct {
	Text string
	Best bool // the lowest of all but the floors
}

// htmlReport is the report as one page that needs nothing else: no network, no script. The profiles are flame graphs.
func htmlReport(r *results, profiles []*chart) ([]byte, error) {
	p := page{Title: "bench", Style: template.CSS(chartStyle), Results: r} // a constant
	if r != nil {
		p.fill(r)
	}
	for _, c := range profiles {
		p.Profiles = append(p.Profiles, c.inline())
	}
	t, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return nil, fmt.Errorf("the report's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("the report: %w", err)
	}
	return b.Bytes(), nil
}

func (p *page) fill(r *results) {
	if r.Label != "" {
		p.Title = r.Label
	}
	sections := summarise(r)
	p.Failures, p.Notes = r.Failures, allNotes(r, sections)
	p.Facts, p.Versions = machineTable(r), versionTable(r)
	p.Glance = atAGlance(r, sections)
	for i, sec := range sections {
		p.Sections = append(p.Sections, sec.page(i))
	}
	p.Samples = sampleCells(r)
}

func (s section) page(number int) pageSection {
	ps := pageSection{ID: fmt.Sprintf("s%d", number), Title: s.title(), Columns: s.columns(), Rows: s.cells()[1:]}
	for _, c := range s.charts() {
		ps.Charts = append(ps.Charts, c.inline())
	}
	return ps
}

// charts are all pictures of the section of which there is something to see.
func (s section) charts() []*chart {
	var charts []*chart
	add := func(c *chart) {
		if c != nil {
			charts = append(charts, c)
		}
	}
	if s.Open {
		median, tail := rateCharts(s)
		add(median)
		add(tail)
		return charts
	}
	bars := func(name, unit string, of func(summary) spread, text func(float64) string) {
		add(s.bars(name, unit, of, text))
	}
	bars("CPU time per message", "CPU time of the server, ns per message", func(m summary) spread { return m.CPU }, grouped)
	if s.Workload.Kind == streamLoad {
		bars("Bandwidth", "bytes per second, one way", func(m summary) spread { return m.Bandwidth }, shortNumber)
	} else {
		bars("Throughput", "messages answered per second", func(m summary) spread { return m.Rate }, grouped)
	}
	add(percentileChart(s.title(), s.Rows))
	bars("Memory per connection", "resident bytes that a connection adds", func(m summary) spread { return m.PerConn }, grouped)
	return charts
}

// bars is nil if nothing is known.
func (s section) bars(name, unit string, of func(summary) spread, text func(float64) string) *chart {
	var bars []bar
	for _, sum := range s.Rows {
		bars = append(bars, bar{Impl: sum.Impl, Value: of(sum), Label: medianText(of(sum), text)})
	}
	if !anyKnown(bars) {
		return nil
	}
	return barChart(name, s.title(), unit, bars)
}

// atAGlance is nil if nothing was measured together with what it is compared with.
func atAGlance(r *results, sections []section) *glance {
	g := glance{Impls: implOrder(r)}
	for _, sec := range sections {
		if sec.Open {
			continue
		}
		title := sec.title()
		if sec.Base != floorImpl {
			title += " (" + sec.Base + " is 1.00)"
		}
		line := glanceLine{Title: title, Cells: make([]glanceCell, len(g.Impls))}
		best, rivals := -1, 0
		lowest := 0.0
		for i, impl := range g.Impls {
			line.Cells[i].Text = unknown
			at := slices.IndexFunc(sec.Rows, func(s summary) bool { return s.Impl == impl && s.Ratio.known() })
			if at < 0 {
				continue
			}
			ratio := sec.Rows[at].Ratio.Median
			line.Cells[i].Text = twoDigits(ratio)
			if strings.HasPrefix(impl, "bare-") {
				continue
			}
			rivals++
			if best < 0 || ratio < lowest {
				best, lowest = i, ratio
			}
		}
		if best >= 0 {
			line.Cells[best].Best = rivals > 1
			g.Lines = append(g.Lines, line)
		}
	}
	if len(g.Lines) == 0 {
		return nil
	}
	return &g
}

// machineTable is what one has to know to judge the numbers.
func machineTable(r *results) []fact {
	m, s := r.Machine, r.Setting
	facts := []fact{
		{"Program", r.Program}, {"CPU", m.CPU}, {"CPUs", fmt.Sprint(m.CPUs)},
		{"Memory", fmt.Sprintf("%.1f GiB", float64(m.Memory)/(1<<30))}, {"Kernel", m.Kernel}, {"Governor", m.Governor},
		{"Virtual machine", m.Virtual}, {"Go", m.Go},
		{"Measured", r.Began.UTC().Format("2006-01-02 15:04 UTC") + ", " + r.Took.Round(1e9).String()},
		{"Rounds", fmt.Sprintf("%d, each %v after %v of warm-up", s.Rounds, roundTime(s.Window), roundTime(s.Warmup))},
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
func versionTable(r *results) []fact {
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
