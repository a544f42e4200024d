package chart

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/tandem-io/tandem/bench/results"
)

// Percentiles draws latencies by percentile, on the axis that HDR histograms use: each step to the right is a tenth of
// the answers of the step before, so that the tail has as much room as the rest.
func Percentiles(of string, rows []results.Summary) *Chart {
	var curves []curve
	furthest := 10.0
	for _, s := range rows {
		if s.Latencies == nil {
			continue
		}
		points := percentilePoints(s.Latencies)
		furthest = max(furthest, points[len(points)-1].X)
		curves = append(curves, curve{Impl: s.Impl, Points: points, Step: perDecade})
	}
	if len(curves) == 0 {
		return nil
	}
	low, high := boundsOf(curves)
	var ticks []float64
	for v := 1.0; v <= furthest*1.001; v *= 10 {
		ticks = append(ticks, v)
	}
	return lineChart("Latency by percentile", of,
		axis{Name: "% of answers that were at least this fast", Log: true, Ticks: ticks, Text: percentileText, Low: 1,
			High: furthest},
		axis{Name: "latency", Log: true, Ticks: decades(low, high), Text: shortTime, Low: low, High: high}, curves)
}

// perDecade is how many points of a histogram are drawn from one step of the axis to the next.
const perDecade = 8

// percentilePoints are the points of a histogram at X = 1/(1-q), up to the percentile that ten answers exceed.
func percentilePoints(h *hdrhistogram.Histogram) []point {
	const furthest = 1e5
	var points []point
	last := min(furthest, max(float64(h.TotalCount())/10, 10))
	for i := 0; ; i++ {
		x := min(math.Pow(10, float64(i)/perDecade), last)
		points = append(points, point{x, float64(max(h.ValueAtPercentile(100*(1-1/x)), 1))})
		if x == last {
			return points
		}
	}
}

func percentileText(x float64) string {
	if x <= 1 {
		return "0"
	}
	return trimmedLong(100 * (1 - 1/x))
}

// Rates draws the median and the 99th percentile against the offered rate, up to the rate at which a server no longer
// keeps up.
func Rates(sec results.Section) (median, tail *Chart) {
	draw := func(name string, of func(results.Summary) results.Spread) *Chart {
		curves := rateCurves(sec.Rows, of)
		if len(curves) == 0 {
			return nil
		}
		low, high := boundsOf(curves)
		most := 0.0
		for _, s := range sec.Rows {
			most = max(most, float64(s.Workload.Rate))
		}
		steps := roundSteps(most, 5)
		return lineChart(name, sec.Title(),
			axis{Name: "messages offered per second; ×: does not keep up", Ticks: steps, Text: ShortNumber,
				High: steps[len(steps)-1]},
			axis{Name: name, Log: true, Ticks: decades(low, high), Text: shortTime, Low: low, High: high}, curves)
	}
	return draw("Median latency", func(s results.Summary) results.Spread { return s.P50 }),
		draw("p99 latency: 1 of 100 took longer", func(s results.Summary) results.Spread { return s.P99 })
}

// rateCurves ends each server's line where it broke.
func rateCurves(rows []results.Summary, of func(results.Summary) results.Spread) []curve {
	var curves []curve
	for _, s := range rows {
		if n := len(curves); n == 0 || curves[n-1].Impl != s.Impl {
			curves = append(curves, curve{Impl: s.Impl})
		}
		c := &curves[len(curves)-1]
		if c.Broken || !of(s).Known() {
			continue
		}
		c.Points = append(c.Points, point{float64(s.Workload.Rate), of(s).Median})
		c.Broken = broke(s)
	}
	return curves
}

// broke reports whether the server did not keep up with the offered rate.
func broke(s results.Summary) bool {
	const enough = 0.95
	return s.Late > 1-enough || s.Rate.Known() && s.Rate.Median < enough*float64(s.Workload.Rate)
}
