// Package chart draws results as SVG: bars, lines, latencies by percentile, and CPU profiles as flame graphs.
package chart
