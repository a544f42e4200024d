package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tandem-io/tandem/bench/chart"
	"github.com/tandem-io/tandem/bench/results"
)

// WriteCharts writes every picture of the report as an SVG file into dir, which it creates if necessary, and returns
// their paths. The names contain number and workload, such as cpu-echo-64x64.svg. The pictures follow the light or dark
// scheme of the reader's system.
func WriteCharts(dir string, r *results.Results) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var paths []string
	about := headingOf(r)
	for _, sec := range results.Summarise(r) {
		for _, c := range chartsOf(sec) {
			c.Source = []string{about.Where, about.When}
			path := filepath.Join(dir, chartFile(c, sec))
			if err := results.ReplaceFile(path, []byte(c.File())); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// chartFile names the file of a chart.
func chartFile(c *chart.Chart, sec results.Section) string {
	first, _, _ := strings.Cut(strings.ToLower(c.Name), " ")
	w := sec.Workload
	name := fmt.Sprintf("%s-%s-%dx%d", first, w.Kind, w.Conns, w.Size)
	if w.Depth > 1 {
		name += fmt.Sprintf("-depth%d", w.Depth)
	}
	if sec.Open {
		name += "-rate"
	}
	return name + ".svg"
}
