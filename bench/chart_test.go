package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/pprof/profile"
)

// wellFormed fails if the text is not XML.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

func TestEveryPictureIsAFileOfItsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	paths, err := writeCharts(dir, exampleResults(t))
	if err != nil {
		t.Fatal(err)
	}
	if names := len(slices.Compact(slices.Sorted(slices.Values(paths)))); names != len(paths) || names != 27 {
		t.Errorf("%d files of %d names, want 27", len(paths), names)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, string(text))
		for _, want := range []string{`xmlns="http://www.w3.org/2000/svg"`, "prefers-color-scheme:dark", "<desc>"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %s", path, want)
			}
		}
	}
}

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	c := barChart("name", "<of>", "ns & more", []bar{
		{Impl: floorImpl, Value: spread{3, 50, 40, 60}, Label: "50"},
		{Impl: "net", Value: spread{3, 100, 100, 100}, Label: "100"},
		{Impl: "none"},
	})
	text := c.file()
	wellFormed(t, text)
	var widths []string
	for part := range strings.SplitSeq(text, `<rect class="bar`) {
		if _, after, ok := strings.Cut(part, `width="`); ok && strings.HasPrefix(part, " s") {
			widths = append(widths, strings.SplitN(after, `"`, 2)[0])
		}
	}
	left := nameWidth([]string{floorImpl}) + 12
	if want := []string{px((322 - left) / 2), px(322 - left)}; !slices.Equal(widths, want) {
		t.Errorf("widths %v, want %v", widths, want)
	}
	if !strings.Contains(text, "not measured") || strings.Count(text, `class="floor"`) != 1 {
		t.Error(text)
	}
}

func TestPercentilesAreThoseOfTheHistogram(t *testing.T) {
	h := hdrhistogram.New(1, 1e9, 3)
	for i := range int64(100_000) {
		_ = h.RecordValue(i + 1)
	}
	points := percentiles(h)
	last := points[len(points)-1]
	if points[0].X != 1 || last.X != 10_000 {
		t.Errorf("from %v to %v, want 1 to 10000: ten answers beyond", points[0].X, last.X)
	}
	for _, p := range points[1:] {
		if want := 100_000 * (1 - 1/p.X); math.Abs(p.Y-want) > 0.002*want+1 {
			t.Errorf("at %v: %v, want about %v", p.X, p.Y, want)
		}
	}
}

func TestALineEndsWhereTheServerBreaks(t *testing.T) {
	row := func(rate int, answered, late float64) summary {
		return summary{Impl: "net", Workload: workload{Rate: rate}, Rate: spread{N: 1, Median: answered}, Late: late,
			P99: spread{N: 1, Median: 1000}}
	}
	rows := []summary{row(100, 100, 0), row(200, 199, 0.01), row(300, 210, 0.3), row(400, 210, 0.5)}
	got := rateCurves(rows, func(s summary) spread { return s.P99 })
	if len(got) != 1 || len(got[0].Points) != 3 || !got[0].Broken {
		t.Errorf("%+v", got)
	}
	got = rateCurves(rows[:2], func(s summary) spread { return s.P99 })
	if len(got[0].Points) != 2 || got[0].Broken {
		t.Errorf("%+v", got)
	}
}

func TestNamesDoNotCoverEachOther(t *testing.T) {
	var labels []label
	for _, y := range []float64{10, 12, 11, 100, 199, 200, 198} {
		labels = append(labels, label{Y: y})
	}
	spaced(labels, 13, 5, 200)
	for i, l := range labels {
		if l.Y < 5 || l.Y > 200 || i > 0 && l.Y-labels[i-1].Y < 12.999 {
			t.Errorf("label %d at %v: %+v", i, l.Y, labels)
		}
	}
}

func TestScales(t *testing.T) {
	if got := roundSteps(8700, 4); !slices.Equal(got, []float64{0, 2500, 5000, 7500, 10000}) {
		t.Errorf("steps to 8700: %v", got)
	}
	if got := roundSteps(0, 4); len(got) != 2 {
		t.Errorf("steps to 0: %v", got)
	}
	if got := decades(40, 600); !slices.Equal(got, []float64{50, 100, 200, 500}) {
		t.Errorf("from 40 to 600: %v", got)
	}
	for want, got := range map[string]string{
		"1.5k": shortNumber(1500), "0": shortNumber(0), "2.5M": shortNumber(2.5e6), "350 µs": shortTime(350e3),
		"1 ms": shortTime(1e6), "20 ns": shortTime(20), "99.99": percentileText(1e4), "90": percentileText(10),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// writeProfile writes a CPU profile of two functions, one of which calls the other.
func writeProfile(t *testing.T, kind string) string {
	t.Helper()
	outer := &profile.Function{ID: 1, Name: "main.outer"}
	inner := &profile.Function{ID: 2, Name: "github.com/tandem-io/tandem/session.(*Stream).inner<T>"}
	at := func(id uint64, f *profile.Function) *profile.Location {
		return &profile.Location{ID: id, Line: []profile.Line{{Function: f}}}
	}
	a, b := at(1, outer), at(2, inner)
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: kind, Unit: "nanoseconds"}},
		Function:   []*profile.Function{outer, inner}, Location: []*profile.Location{a, b},
		Sample: []*profile.Sample{
			{Location: []*profile.Location{b, a}, Value: []int64{3, 750e6}},
			{Location: []*profile.Location{a}, Value: []int64{1, 250e6}},
		},
	}
	path := filepath.Join(t.TempDir(), "x.pprof")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlameGraph(t *testing.T) {
	c, err := flameGraph(writeProfile(t, "cpu"))
	if err != nil {
		t.Fatal(err)
	}
	text := c.file()
	wellFormed(t, text)
	for _, want := range []string{
		`width="899.4" height="17" rx="2"><title>github.com/tandem-io/tandem/session.(*Stream).inner&lt;T&gt;: 75%, 750ms`,
		`<title>main.outer: 100%, 1s</title>`, `class="box f2"`,
		"most time was spent in github.com/tandem-io/tandem/session.(*Stream).inner&lt;T&gt; 75%, main.outer 25%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if _, err := flameGraph(writeProfile(t, "alloc_space")); err == nil || !strings.Contains(err.Error(), "not of CPU time") {
		t.Errorf("a profile of memory: %v", err)
	}
}

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	r := exampleResults(t)
	if err := printMarkdown(&b, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.md", b.String())
}
