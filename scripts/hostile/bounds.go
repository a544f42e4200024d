//go:build linux

package main

import (
	"fmt"
	"time"
)

// bound is a figure, the most that it may be, and whether it is more.
type bound struct {
	What   string
	Value  float64
	Most   float64
	Unit   string
	Broken bool
}

func (b bound) String() string {
	return fmt.Sprintf("%s: %s, at most %s", b.What, amount(b.Value, b.Unit), amount(b.Most, b.Unit))
}

// Units of bounds.
const (
	milliseconds = "ms"
	mebibytes    = "MiB"
	count        = ""
)

func amount(v float64, unit string) string {
	digits := 0
	if v != float64(int64(v)) && v < 100 {
		digits = 1
	}
	if unit != "" {
		unit = " " + unit
	}
	return fmt.Sprintf("%.*f%s", digits, v, unit)
}

func atMost(what string, value, most float64, unit string) bound {
	return bound{what, value, most, unit, value > most}
}

func durations(what string, value, most time.Duration) bound {
	const ms = float64(time.Millisecond)
	return atMost(what, float64(value)/ms, float64(most)/ms, milliseconds)
}

func memories(what string, value, most int64) bound {
	return atMost(what, float64(value)/mib, detectorFactor*float64(most)/mib, mebibytes)
}

// What other work on the machine may add.
const (
	noiseTime    = 2 * time.Second
	noiseLatency = 100 * time.Millisecond
	noiseMemory  = 24 * mib // of the Go runtime: stacks, tables, spans that are partly free
	timesCalm    = 10       // how many times slower a well-behaved stream may be than without an attack
)

// latencyBound is for the well-behaved streams. Others that always have data may take a millisecond each, in the turn in
// which a message comes and in the one before it; and more if the server does not get a CPU: the attackers are on the same
// machine. What this process itself lost counts for nobody.
func latencyBound(calm, attacked latency, perLoop int, server schedule) bound {
	share := float64(2*time.Millisecond) * server.slowdown()
	shares := time.Duration(share * float64(min(perLoop, 100)))
	return durations("p99 of well-behaved streams", attacked.P99, noiseLatency+timesCalm*calm.P99+shares+attacked.Stall)
}

// turns is how often loops turned in a time without bytes, and what they had to do.
type turns struct {
	PerSecond float64 // of the loop that turned most, without those that were due
	CPU       float64 // percent of one CPU
}

// quietTurns is how many turns a loop may make on which nothing can move; rule S40 of session/CONTRACT.md. quietCPU is for
// loops that are busy within a turn: it leaves room for garbage collection.
const (
	quietTurns = 20
	quietCPU   = 25
)

// turnsBetween compares two answers of a server. A timer that fires, and the end of a stream, need turns; timers of a
// stream fire at most some dozen times a second.
func turnsBetween(a, b *serverAnswer) turns {
	var most float64
	seconds := (b.Time - a.Time).Seconds()
	for i := range b.Stats.Loops {
		was, is := &a.Stats.Loops[i], &b.Stats.Loops[i]
		due := 2*min(float64(is.Timers-was.Timers), 40*seconds*float64(was.Streams)) + 4*float64(is.Closed-was.Closed) + 3
		most = max(most, (float64(is.Turns-was.Turns)-due)/seconds)
	}
	return turns{PerSecond: most}
}
