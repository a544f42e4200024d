package report

import (
	"strings"
	"testing"

	"github.com/tandem-io/tandem/bench/benchtest"
)

func TestMarkdown(t *testing.T) {
	var b strings.Builder
	r := benchtest.ExampleResults(t)
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	benchtest.Golden(t, "report.md", b.String())
}
