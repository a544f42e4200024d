package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestResultsComeBackAsTheyWere(t *testing.T) {
	r := exampleResults(t)
	path := filepath.Join(t.TempDir(), "results.json")
	for range 2 { // the second time over the first
		if err := writeResults(path, r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Error("what was read differs from what was written")
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
		t.Errorf("beside the file there is something: %v", left)
	}
}

func TestReadResultsSaysWhatIsWrong(t *testing.T) {
	whole := `{"format": 1, "samples": [{"impl": "net", "workload": {"kind": "echo"}, "messages": 1, "window_ns": 1}]}`
	if _, err := parseResults([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":               {"", errNotResults.Error()},
		"a table":             {"64 connections\n", errNotResults.Error()},
		"other JSON":          {`{"messages": 1}`, "no number of a format"},
		"a list":              {`[1]`, errNotResults.Error()},
		"not JSON":            {`{format}`, errNotResults.Error()},
		"another format":      {`{"format": 99, "samples": 7}`, "format 99, and this program reads format 1"},
		"cut short":           {whole[:len(whole)-9], errCutShort.Error()},
		"cut after the brace": {"{", errCutShort.Error()},
		"a wrong type":        {strings.Replace(whole, `"net"`, "7", 1), "damaged"},
		"two of them":         {whole + whole, "something follows"},
		"a bad histogram":     {strings.Replace(whole, `"messages"`, `"latency": "AAAA", "messages"`, 1), "latencies"},
		"no name":             {strings.Replace(whole, `"net"`, `""`, 1), "what was measured"},
		"no window":           {strings.Replace(whole, `"window_ns": 1`, `"window_ns": 0`, 1), "window of 0s"},
		"a negative count":    {strings.Replace(whole, `"messages": 1`, `"messages": -1`, 1), "below zero"},
		"a negative round":    {strings.Replace(whole, `"messages"`, `"round": -1, "messages"`, 1), "round"},
		"a sample twice": {strings.Replace(whole, `}]`, `},{"impl": "net", "workload": {"kind": "echo"}, "window_ns": 1}]`, 1),
			"twice"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := readResults(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want the file's name and %q", err, c.want)
			}
		})
	}
	if _, err := readResults("nowhere.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestWriteResultsWhereNothingCanBeWritten(t *testing.T) {
	if err := writeResults(filepath.Join(t.TempDir(), "no", "r.json"), &results{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{0, 0}, spread{}},
		{[]float64{7}, spread{1, 7, 7, 7}},
		{[]float64{3, 0, 1, 2}, spread{3, 2, 1, 3}},
		{[]float64{4, 1, 3, 2}, spread{4, 2.5, 1, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
	}
	if got := (spread{3, 10, 9, 13}).plusMinus(); got != 0.3 {
		t.Errorf("plusMinus is %v, want 0.3", got)
	}
}

func TestTheRatioIsOfOneRound(t *testing.T) {
	load := workload{"echo", 64, 64, 1, 0}
	r := &results{Servers: []serverFacts{{Impl: "net"}, {Impl: floorImpl}}}
	for round, cpu := range []time.Duration{1000, 3000, 2000} { // the machine drifts
		for impl, factor := range map[string]time.Duration{floorImpl: 2, "net": 3} {
			r.Samples = append(r.Samples, sample{Impl: impl, Workload: load, Round: round, Messages: 1000,
				Window: time.Second, ServerCPU: 1000 * cpu * factor / 2})
		}
	}
	sections := summarise(r)
	if len(sections) != 1 || len(sections[0].Rows) != 2 {
		t.Fatalf("%+v", sections)
	}
	net := sections[0].Rows[0]
	if want := (spread{3, 3000, 1500, 4500}); net.CPU != want {
		t.Errorf("CPU %+v, want %+v", net.CPU, want)
	}
	if want := (spread{3, 1.5, 1.5, 1.5}); net.Ratio != want {
		t.Errorf("ratio %+v, want %+v", net.Ratio, want)
	}
}

func TestRoundsAreMergedIntoOneHistogram(t *testing.T) {
	for _, sec := range summarise(exampleResults(t)) {
		for _, sum := range sec.Rows {
			if sec.Workload.Kind == idleLoad {
				if sum.Latencies != nil || !sum.PerConn.known() {
					t.Fatalf("%s: %+v", sec.title(), sum)
				}
				continue
			}
			if got := sum.Latencies.TotalCount(); got != 5*2000 {
				t.Fatalf("%s, %s: %d latencies", sec.title(), sum.Impl, got)
			}
		}
	}
}

func TestWorkloadTitle(t *testing.T) {
	for want, w := range map[string]workload{
		"echo, 64 connections × 64 B":                       {"echo", 64, 64, 1, 0},
		"stream, 1 connection × 1 MiB":                      {"stream", 1, 1 << 20, 0, 0},
		"echo, 8 connections × 16 KiB, 16 in flight":        {"echo", 8, 16 << 10, 16, 0},
		"echo, 64 connections × 100 B, 1,250,000/s offered": {"echo", 64, 100, 1, 1_250_000},
		"idle, 10000 connections":                           {"idle", 10000, 0, 0, 0},
	} {
		if got := workloadTitle(w); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
