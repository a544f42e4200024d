package chart

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	assert.Equal(t, []string{px((322 - left) / 2), px(322 - left)}, widths)
	assert.Contains(t, text, "not measured")
	assert.Equal(t, 1, strings.Count(text, `class="floor"`), "lines of the floor")
}

func TestPercentilesAreThoseOfTheHistogram(t *testing.T) {
	h := hdrhistogram.New(1, 1e9, 3)
	for i := range int64(100_000) {
		_ = h.RecordValue(i + 1)
	}
	points := percentilePoints(h)
	last := points[len(points)-1]
	assert.Equal(t, 1.0, points[0].X)
	assert.Equal(t, 10_000.0, last.X, "ten answers are beyond")
	for _, p := range points[1:] {
		want := 100_000 * (1 - 1/p.X)
		assert.InDelta(t, want, p.Y, 0.002*want+1, "at %v", p.X)
	}
}

func TestALineEndsWhereTheServerBreaks(t *testing.T) {
	row := func(rate int, answered, late float64) results.Summary {
		return results.Summary{Impl: "net", Workload: workload.Workload{Rate: rate}, Rate: results.Spread{N: 1, Median: answered}, Late: late,
			P99: results.Spread{N: 1, Median: 1000}}
	}
	rows := []results.Summary{row(100, 100, 0), row(200, 199, 0.01), row(300, 210, 0.3), row(400, 210, 0.5)}
	got := rateCurves(rows, func(s results.Summary) results.Spread { return s.P99 })
	require.Len(t, got, 1)
	assert.Len(t, got[0].Points, 3)
	assert.True(t, got[0].Broken)
	got = rateCurves(rows[:2], func(s results.Summary) results.Spread { return s.P99 })
	assert.Len(t, got[0].Points, 2)
	assert.False(t, got[0].Broken)
}

func TestNamesDoNotCoverEachOther(t *testing.T) {
	var labels []label
	for _, y := range []float64{10, 12, 11, 100, 199, 200, 198} {
		labels = append(labels, label{Y: y})
	}
	spaced(labels, 13, 5, 200)
	for i, l := range labels {
		assert.GreaterOrEqual(t, l.Y, 5.0)
		assert.LessOrEqual(t, l.Y, 200.0)
		if i > 0 {
			assert.GreaterOrEqual(t, l.Y-labels[i-1].Y, 12.999, "between labels %d and %d", i-1, i)
		}
	}
}

func TestScales(t *testing.T) {
	assert.Equal(t, []float64{0, 2500, 5000, 7500, 10000}, roundSteps(8700, 4))
	assert.Len(t, roundSteps(0, 4), 2)
	assert.Equal(t, []float64{50, 100, 200, 500}, decades(40, 600))
	for want, got := range map[string]string{
		"1.5k": ShortNumber(1500), "0": ShortNumber(0), "2.5M": ShortNumber(2.5e6), "350 µs": shortTime(350e3),
		"1 ms": shortTime(1e6), "20 ns": shortTime(20), "99.99": percentileText(1e4), "90": percentileText(10),
	} {
		assert.Equal(t, want, got)
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
	require.NoError(t, err)
	require.NoError(t, errors.Join(p.Write(f), f.Close()))
	return path
}

func TestFlameGraph(t *testing.T) {
	c, err := Flame(writeProfile(t, "cpu"))
	require.NoError(t, err)
	text := c.File()
	benchtest.WellFormed(t, text)
	for _, want := range []string{
		`width="899.4" height="17" rx="2"><title>github.com/tandem-io/tandem/session.(*Stream).inner&lt;T&gt;: 75%, 750ms`,
		`<title>main.outer: 100%, 1s</title>`, `class="box f2"`,
		"most time was spent in github.com/tandem-io/tandem/session.(*Stream).inner&lt;T&gt; 75%, main.outer 25%",
	} {
		assert.Contains(t, text, want)
	}
	_, err = Flame(writeProfile(t, "alloc_space"))
	assert.ErrorContains(t, err, "not of CPU time")
}

func TestFlameGraphOfPerf(t *testing.T) {
	const text = `    750000 
	ffffffff82010ddb tcp_sendmsg ([kernel.kallsyms])
	            db8e syscall.RawSyscall6.abi0 (/tmp/server with spaces/x)
	          6c2545 [unknown] (/tmp/x)

    250000 
	          6c2545 [unknown] (/tmp/x)
`
	path := filepath.Join(t.TempDir(), "tandem-epoll.perf")
	draw := func(text string) (*Chart, error) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return Flame(path)
	}
	c, err := draw(text)
	require.NoError(t, err)
	assert.Equal(t, "CPU profile: tandem-epoll", c.Name)
	for _, want := range []string{
		`<title>tcp_sendmsg (kernel): 75%`, `<title>[unknown]: 100%`, `<title>syscall.RawSyscall6.abi0: 75%`, "most time was spent in tcp_sendmsg (kernel) 75%, [unknown] 25%",
	} {
		assert.Contains(t, c.File(), want)
	}
	for text, problem := range map[string]string{
		"": "empty", "x\n": "line 1", "-5\n": "line 1", "5\n\tabc\n": "line 2", "7 8\n": "line 1",
	} {
		_, err := draw(text)
		assert.ErrorContains(t, err, problem, text)
	}
}

func TestLongLinesAreWrapped(t *testing.T) {
	const machine = "Intel Xeon Processor @ 2.10GHz, 2 CPUs, 6.18.44-fc-v769 amd64, under KVM"
	lines := wrapped(machine)
	assert.Equal(t, []string{"Intel Xeon Processor @ 2.10GHz, 2 CPUs, ", "6.18.44-fc-v769 amd64, under KVM"}, lines)
	assert.Equal(t, []string{"short, and so one line"}, wrapped("short, and so one line"))
	c := Bars("name", "of", "ns", []Bar{{Impl: "net", Value: results.Spread{N: 1, Median: 1, High: 1}}})
	c.Source = []string{machine}
	for _, line := range lines {
		assert.Contains(t, c.File(), ">"+line+"</text>")
	}
}
