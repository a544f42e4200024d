package format

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Unknown stands in tables where nothing was measured.
const Unknown = "–"

// Micros formats nanoseconds as microseconds.
func Micros(ns float64) string {
	if us := ns / 1e3; us < 9.95 {
		return fmt.Sprintf("%.1f", us)
	}
	return Grouped(ns / 1e3)
}

// TwoDigits formats a number with two decimals.
func TwoDigits(v float64) string { return fmt.Sprintf("%.2f", v) }

// Percent formats a share as a percentage.
func Percent(share float64) string {
	if p := 100 * share; p > 0 && p < 0.95 {
		return fmt.Sprintf("%.1f%%", math.Max(p, 0.1))
	}
	return fmt.Sprintf("%.0f%%", 100*share)
}

// Plural is the s that a noun has after n, or "".
func Plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// Grouped is a whole number with its thousands apart.
func Grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Duration rounds to milliseconds.
func Duration(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// Size is a number of bytes, in KiB or MiB if it is a whole number of them.
func Size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
