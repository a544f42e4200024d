package report

import (
	"fmt"
	"slices"

	"github.com/tandem-io/tandem/bench/format"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// column is one number of a summary as tables show it.
type column struct {
	Name  string
	Means string // shown when the pointer rests on it
	Text  func(results.Summary) string
}

// Columns of every table, whether on the terminal, in HTML or in Markdown.
var (
	columnRate = column{"msg/s", "messages answered per second",
		func(s results.Summary) string { return results.MedianText(s.Rate, format.Grouped) }}
	columnBandwidth = column{"MB/s", "millions of bytes per second, one way",
		func(s results.Summary) string {
			return results.MedianText(s.Bandwidth, func(v float64) string { return format.Grouped(v / 1e6) })
		}}
	columnP50 = column{"p50 µs", "half of the messages were answered within",
		func(s results.Summary) string { return results.MedianText(s.P50, format.Micros) }}
	columnP99 = column{"p99 µs", "99 of 100 messages were answered within",
		func(s results.Summary) string { return results.MedianText(s.P99, format.Micros) }}
	columnP999 = column{"p99.9 µs", "999 of 1000 messages were answered within",
		func(s results.Summary) string { return results.MedianText(s.P999, format.Micros) }}
	columnCPU = column{"CPU ns/msg", "CPU time of the server per message",
		func(s results.Summary) string { return results.MedianText(s.CPU, format.Grouped) }}
	columnSpread = column{"±", "how far the round furthest from the median is, in CPU time per message",
		func(s results.Summary) string {
			if s.CPU.N < 2 {
				return format.Unknown
			}
			return format.Percent(s.CPU.PlusMinus())
		}}
	columnCalls = column{"calls/msg", "system calls of the server per message",
		func(s results.Summary) string { return results.MedianText(s.Calls, format.TwoDigits) }}
	columnMallocs = column{"mallocs/msg", "heap objects that the server allocated per message",
		func(s results.Summary) string { return results.MedianText(s.Mallocs, format.TwoDigits) }}
	columnLoadCPU = column{"load CPU", "share of one CPU that the load generator used",
		func(s results.Summary) string { return results.MedianText(s.LoadCPU, format.Percent) }}
	columnPerConn = column{"bytes/conn", "resident memory that a connection adds",
		func(s results.Summary) string { return results.MedianText(s.PerConn, format.Grouped) }}
	columnResident = column{"resident MB", "resident memory of the server",
		func(s results.Summary) string {
			return results.MedianText(s.Resident, func(v float64) string { return fmt.Sprintf("%.1f", v/1e6) })
		}}
	columnOffered = column{"offered/s", "messages that fell due per second",
		func(s results.Summary) string { return format.Grouped(float64(s.Workload.Rate)) }}
	columnLate = column{"late", "share of the due messages that were not answered in time to be counted",
		func(s results.Summary) string { return format.Percent(s.Late) }}
)

// columnRatio has the name of the server that the section compares with.
func columnRatio(s results.Section) column {
	return column{"to " + s.Base, "CPU time per message, as a multiple of that of " + s.Base + " in the same round",
		func(sum results.Summary) string { return results.MedianText(sum.Ratio, format.TwoDigits) }}
}

// columnsOf returns the columns that are informative for the section.
func columnsOf(s results.Section) []column {
	costs := []column{columnCPU, columnSpread, columnRatio(s)}
	if slices.ContainsFunc(s.Rows, func(sum results.Summary) bool { return sum.Calls.Known() }) {
		costs = append(costs, columnCalls)
	}
	if slices.ContainsFunc(s.Rows, func(sum results.Summary) bool { return sum.Mallocs.Known() }) {
		costs = append(costs, columnMallocs)
	}
	switch {
	case s.Open:
		return slices.Concat([]column{columnOffered, columnRate, columnP50, columnP99, columnP999}, costs, []column{columnLate})
	case workload.IsIdle(s.Workload.Kind):
		return []column{columnPerConn, columnResident}
	case s.Workload.Kind == workload.KindStream:
		return slices.Concat([]column{columnBandwidth, columnRate, columnP50, columnP99, columnP999}, costs,
			[]column{columnLoadCPU})
	}
	return slices.Concat([]column{columnRate, columnP50, columnP99, columnP999}, costs, []column{columnLoadCPU})
}
