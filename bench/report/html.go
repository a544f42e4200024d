package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/tandem-io/tandem/bench/chart"
	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

//go:embed page.html.tmpl
var reportTemplate string

// page is the data of the report's template.
type page struct {
	Title    heading
	Style    template.CSS     // of the charts
	Results  *results.Results // nil: only profiles
	Facts    []fact
	Versions []fact
	Failures []string
	Notes    []string
	Glance   *glance
	Sections []pageSection
	Samples  [][]string // every one; the first line is the head
	Profiles []template.HTML
}

// pageSection is a section with its pictures.
type pageSection struct {
	ID      string
	Title   string
	Charts  []template.HTML
	Columns []column
	Rows    [][]string // the first column is the server
}

// HTML returns the report as one page that needs neither a network nor scripts. The profiles are flame graphs.
func HTML(r *results.Results, profiles []*chart.Chart) ([]byte, error) {
	p := page{Title: heading{What: "nothing"}, Style: template.CSS(chart.Style), Results: r} // a constant
	if r != nil {
		p.fill(r)
	} else if len(profiles) > 0 {
		p.Title.What = profiles[0].Name
	}
	for _, c := range profiles {
		p.Profiles = append(p.Profiles, c.Inline())
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

func (p *page) fill(r *results.Results) {
	p.Title = headingOf(r)
	sections := results.Summarise(r)
	p.Failures, p.Notes = r.Failures, allNotes(r, sections)
	p.Facts, p.Versions = machineTable(r), versionTable(r)
	p.Glance = atAGlance(r, sections)
	for i, sec := range sections {
		p.Sections = append(p.Sections, pageOf(sec, i))
	}
	p.Samples = sampleCells(r)
}

func pageOf(s results.Section, number int) pageSection {
	ps := pageSection{ID: fmt.Sprintf("s%d", number), Title: s.Title(), Columns: columnsOf(s), Rows: cellsOf(s)[1:]}
	for _, c := range chartsOf(s) {
		ps.Charts = append(ps.Charts, c.Inline())
	}
	return ps
}

// chartsOf returns all pictures of the section that have something to show.
func chartsOf(s results.Section) []*chart.Chart {
	var charts []*chart.Chart
	add := func(c *chart.Chart) {
		if c != nil {
			charts = append(charts, c)
		}
	}
	if s.Open {
		median, tail := chart.Rates(s)
		add(median)
		add(tail)
		return charts
	}
	bars := func(name, unit string, of func(results.Summary) results.Spread, text func(float64) string) {
		add(barsOf(s, name, unit, of, text))
	}
	bars("CPU time per message", "CPU time of the server, ns per message", func(m results.Summary) results.Spread { return m.CPU }, format.Grouped)
	if s.Workload.Kind == workload.KindStream {
		bars("Bandwidth", "bytes per second, one way", func(m results.Summary) results.Spread { return m.Bandwidth }, chart.ShortNumber)
	} else {
		bars("Throughput", "messages answered per second", func(m results.Summary) results.Spread { return m.Rate }, format.Grouped)
	}
	add(chart.Percentiles(s.Title(), s.Rows))
	bars("Memory per connection", "resident bytes that a connection adds", func(m results.Summary) results.Spread { return m.PerConn }, format.Grouped)
	return charts
}

// barsOf is nil if nothing is known.
func barsOf(s results.Section, name, unit string, of func(results.Summary) results.Spread, text func(float64) string) *chart.Chart {
	var bars []chart.Bar
	for _, sum := range s.Rows {
		bars = append(bars, chart.Bar{Impl: sum.Impl, Value: of(sum), Label: results.MedianText(of(sum), text)})
	}
	if !chart.AnyKnown(bars) {
		return nil
	}
	return chart.Bars(name, s.Title(), unit, bars)
}
