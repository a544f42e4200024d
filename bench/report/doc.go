// Package report shows results: as a text table, as one HTML page, as Markdown, as SVG files, and as lines for benchstat.
package report
