package report

import (
	"strings"
	"testing"

	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
)

func TestTheReportHidesNothing(t *testing.T) {
	r := benchtest.ExampleResults(t)
	r.Notes = append(r.Notes, strings.Repeat("a long note ", 50)+"and its end")
	text, err := HTML(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	order := []string{
		"<title>synthetic: 9 servers, echo", "Failures</h2>", "wrong byte &lt;&amp;&gt;", "Read this first", "and its end",
		"Example CPU @ 2.50GHz", "performance", "v2.10.0", "Mitigation: Enhanced IBRS", "as a multiple of the floor",
		"<svg", "Every sample",
	}
	at := 0
	for _, want := range order {
		i := strings.Index(page[at:], want)
		if i < 0 {
			t.Fatalf("no %q behind what stands before it", want)
		}
		at += i
	}
	for _, bad := range []string{"<script", "http:", "https:", "url(", "@import", "<link", "<img"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if got, want := strings.Count(page[at:], "<tr>"), len(r.Samples)+1; got != want {
		t.Errorf("%d lines of samples, want %d", got, want)
	}
}

func TestTheReportOfNothing(t *testing.T) {
	for name, r := range map[string]*results.Results{
		"an empty run": {Format: results.Format},
		"one that failed": {Format: results.Format, Failures: []string{"net: did not start"},
			Servers: []results.Server{{Impl: "net"}}},
		"one sample without anything": {Samples: []results.Sample{{Impl: "net", Workload: benchtest.ClosedLoads[0]}}},
	} {
		text, err := HTML(r, nil)
		if err != nil || !strings.Contains(string(text), "</html>") || strings.Contains(string(text), "NaN") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}
