package main

import (
	"fmt"
	"math"
	"slices"
)

// unknown stands in tables where nothing was measured.
const unknown = "–"

// column is one number of a summary as tables show it.
type column struct {
	Name  string
	Means string // what a reader who hovers over it is told
	Text  func(summary) string
}

// Columns of every table, whether on the terminal, in HTML or in Markdown.
var (
	columnRate = column{"msg/s", "messages answered per second",
		func(s summary) string { return medianText(s.Rate, grouped) }}
	columnBandwidth = column{"MB/s", "millions of bytes per second, one way",
		func(s summary) string {
			return medianText(s.Bandwidth, func(v float64) string { return grouped(v / 1e6) })
		}}
	columnP50 = column{"p50 µs", "half of the messages were answered within",
		func(s summary) string { return medianText(s.P50, microsText) }}
	columnP99 = column{"p99 µs", "99 of 100 messages were answered within",
		func(s summary) string { return medianText(s.P99, microsText) }}
	columnP999 = column{"p99.9 µs", "999 of 1000 messages were answered within",
		func(s summary) string { return medianText(s.P999, microsText) }}
	columnCPU = column{"CPU ns/msg", "CPU time of the server per message",
		func(s summary) string { return medianText(s.CPU, grouped) }}
	columnSpread = column{"±", "how far the round furthest from the median is, in CPU time per message",
		func(s summary) string {
			if s.CPU.N < 2 {
				return unknown
			}
			return percentText(s.CPU.plusMinus())
		}}
	columnCalls = column{"calls/msg", "system calls of the server per message",
		func(s summary) string { return medianText(s.Calls, twoDigits) }}
	columnMallocs = column{"mallocs/msg", "heap objects that the server allocated per message",
		func(s summary) string { return medianText(s.Mallocs, twoDigits) }}
	columnLoadCPU = column{"load CPU", "share of one CPU that the load generator used",
		func(s summary) string { return medianText(s.LoadCPU, percentText) }}
	columnPerConn = column{"bytes/conn", "resident memory that a connection adds",
		func(s summary) string { return medianText(s.PerConn, grouped) }}
	columnResident = column{"resident MB", "resident memory of the server",
		func(s summary) string {
			return medianText(s.Resident, func(v float64) string { return fmt.Sprintf("%.1f", v/1e6) })
		}}
	columnOffered = column{"offered/s", "messages that fell due per second",
		func(s summary) string { return grouped(float64(s.Workload.Rate)) }}
	columnLate = column{"late", "share of the due messages that were not answered in time to be counted",
		func(s summary) string { return percentText(s.Late) }}
)

// columnRatio is named after whom the section compares with.
func (s section) columnRatio() column {
	return column{"to " + s.Base, "CPU time per message, as a multiple of that of " + s.Base + " in the same round",
		func(sum summary) string { return medianText(sum.Ratio, twoDigits) }}
}

// columns are those that say something about the section.
func (s section) columns() []column {
	costs := []column{columnCPU, columnSpread, s.columnRatio()}
	if slices.ContainsFunc(s.Rows, func(sum summary) bool { return sum.Calls.known() }) {
		costs = append(costs, columnCalls)
	}
	if slices.ContainsFunc(s.Rows, func(sum summary) bool { return sum.Mallocs.known() }) {
		costs = append(costs, columnMallocs)
	}
	switch {
	case s.Open:
		return slices.Concat([]column{columnOffered, columnRate, columnP50, columnP99, columnP999}, costs, []column{columnLate})
	case s.Workload.Kind == idleLoad:
		return []column{columnPerConn, columnResident}
	case s.Workload.Kind == streamLoad:
		return slices.Concat([]column{columnBandwidth, columnRate, columnP50, columnP99, columnP999}, costs,
			[]column{columnLoadCPU})
	}
	return slices.Concat([]column{columnRate, columnP50, columnP99, columnP999}, costs, []column{columnLoadCPU})
}

// title is the section's heading.
func (s section) title() string {
	if s.Open {
		return workloadTitle(s.Workload) + ", at a rate"
	}
	return workloadTitle(s.Workload)
}

func medianText(s spread, text func(float64) string) string {
	if !s.known() {
		return unknown
	}
	return text(s.Median)
}

func microsText(ns float64) string {
	if us := ns / 1e3; us < 9.95 {
		return fmt.Sprintf("%.1f", us)
	}
	return grouped(ns / 1e3)
}

func twoDigits(v float64) string { return fmt.Sprintf("%.2f", v) }

func percentText(share float64) string {
	if p := 100 * share; p > 0 && p < 0.95 {
		return fmt.Sprintf("%.1f%%", math.Max(p, 0.1))
	}
	return fmt.Sprintf("%.0f%%", 100*share)
}
