package chart

import (
	"math"
	"strconv"
)

// scale turns values into places along an axis.
type scale struct {
	low, high float64 // values
	from, to  float64 // places
	log       bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log(max(v, low)), math.Log(low), math.Log(high)
	}
	if high == low {
		return s.from
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// roundSteps are round numbers from 0 to at least most, about n of them.
func roundSteps(most float64, n int) []float64 {
	if most <= 0 || math.IsInf(most, 0) || math.IsNaN(most) {
		return []float64{0, 1}
	}
	rough := most / float64(n)
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * unit
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*unit >= rough*0.999 {
			step = m * unit
			break
		}
	}
	var steps []float64
	for i := 0; ; i++ {
		v := float64(i) * step
		steps = append(steps, v)
		if v >= most*0.999 {
			return steps
		}
	}
}

// decades are 1, 2 and 5 times the powers of ten within the bounds, or the powers of ten alone if the range is wide.
func decades(low, high float64) []float64 {
	factors := []float64{1, 2, 5}
	if high/low > 1000 {
		factors = factors[:1]
	}
	var steps []float64
	for p := math.Pow(10, math.Floor(math.Log10(low))); p <= high; p *= 10 {
		for _, f := range factors {
			if v := f * p; v >= low*0.999 && v <= high*1.001 {
				steps = append(steps, v)
			}
		}
	}
	return steps
}

// ShortNumber is a number for an axis: 1,500 is 1.5k.
func ShortNumber(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.size {
			return trimmed(v/u.size) + u.name
		}
	}
	return trimmed(v)
}

// shortTime is nanoseconds for an axis.
func shortTime(ns float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, " s"}, {1e6, " ms"}, {1e3, " µs"}} {
		if ns >= u.size*0.999 {
			return trimmed(ns/u.size) + u.name
		}
	}
	return trimmed(ns) + " ns"
}

// trimmed formats a number with three significant digits and without trailing zeros.
func trimmed(v float64) string { return strconv.FormatFloat(rounded(v), 'f', -1, 64) }

func rounded(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil { // NaN and the infinities are parsed, too
		return v
	}
	return r
}

// trimmedLong keeps the nines of 99.999.
func trimmedLong(v float64) string { return strconv.FormatFloat(v, 'f', -1, 32) }
