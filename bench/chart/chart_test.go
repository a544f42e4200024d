package chart

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/pprof/profile"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	c := Bars("name", "<of>", "ns & more", []Bar{
		{Impl: results.Floor, Value: results.Spread{N: 3, Median: 50, Low: 40, High: 60}, Label: "50"},
		{Impl: "net", Value: results.Spread{N: 3, Median: 100, Low: 100, High: 100}, Label: "100"},
		{Impl: "none"},
	})
	text := c.File()
	benchtest.WellFormed(t, text)
	var widths []string
	for part := range strings.SplitSeq(text, `<rect class="bar`) {
		if _, after, ok := strings.Cut(part, `width="`); ok && strings.HasPrefix(part, " s") {
			widths = append(widths, strings.SplitN(after, `"`, 2)[0])
		}
	}
	left := nameWidth([]string{results.Floor}) + 12
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
	points := percentilePoints(h)
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
	row := func(rate int, answered, late float64) results.Summary {
		return results.Summary{Impl: "net", Workload: workload.Workload{Rate: rate}, Rate: results.Spread{N: 1, Median: answered}, Late: late,
			P99: results.Spread{N: 1, Median: 1000}}
	}
	rows := []results.Summary{row(100, 100, 0), row(200, 199, 0.01), row(300, 210, 0.3), row(400, 210, 0.5)}
	got := rateCurves(rows, func(s results.Summary) results.Spread { return s.P99 })
	if len(got) != 1 || len(got[0].Points) != 3 || !got[0].Broken {
		t.Errorf("%+v", got)
	}
	got = rateCurves(rows[:2], func(s results.Summary) results.Spread { return s.P99 })
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
		"1.5k": ShortNumber(1500), "0": ShortNumber(0), "2.5M": ShortNumber(2.5e6), "350 µs": shortTime(350e3),
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
	c, err := Flame(writeProfile(t, "cpu"))
	if err != nil {
		t.Fatal(err)
	}
	text := c.File()
	benchtest.WellFormed(t, text)
	for _, want := range []string{
		`width="899.4" height="17" rx="2"><title>github.com/tandem-io/tandem/session.(*Stream).inner&lt;T&gt;: 75%, 750ms`,
		`<title>main.outer: 100%, 1s</title>`, `class="box f2"`,
		"most time was spent in github.com/tandem-io/tandem/session.(*Stream).inner&lt;T&gt; 75%, main.outer 25%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if _, err := Flame(writeProfile(t, "alloc_space")); err == nil || !strings.Contains(err.Error(), "not of CPU time") {
		t.Errorf("a profile of memory: %v", err)
	}
}
