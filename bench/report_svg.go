package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeCharts writes every picture of the report as an SVG file of its own into dir, which is made if there is none. They
// are dark where the reader's system is. The names tell number and workload: cpu-echo-64x64.svg. It returns their paths.
func writeCharts(dir string, r *results) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var paths []string
	for _, sec := range summarise(r) {
		for _, c := range sec.charts() {
			path := filepath.Join(dir, chartFile(c, sec))
			if err := replaceFile(path, []byte(c.file())); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// chartFile names the file of a chart.
func chartFile(c *chart, sec section) string {
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
