//go:build linux

package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func result(messages int64, cpuPerMessage, p50 time.Duration) loadResult {
	return loadResult{
		Messages: messages, Window: time.Second,
		P50: p50, P99: 2 * p50, P999: 3 * p50,
		ServerCPU: time.Duration(messages) * cpuPerMessage, ClientCPU: 500 * time.Millisecond,
	}
}

func exampleReport() *report {
	s := shape{Conns: 64, Size: 64, Depth: 1}
	big := shape{Conns: 8, Size: 16384, Depth: 16}
	r := newReport(plan{
		Impls: []string{"net", floorName, "broken"}, Shapes: []shape{s, big}, Rounds: 3, Procs: 1,
		Warmup: time.Second / 5, Window: time.Second, ServerCPUs: []int{0}, LoadCPUs: []int{1},
	})
	for round, cpu := range []time.Duration{1000, 3000, 2000} { // the machine drifts
		r.results[cell{floorName, s, round}] = result(100_000, cpu, 100*time.Microsecond)
		r.results[cell{"net", s, round}] = result(50_000, cpu*3/2, 200*time.Microsecond)
	}
	disturbed := r.results[cell{"net", s, 1}]
	disturbed.ClientWait = 200 * time.Millisecond
	r.results[cell{"net", s, 1}] = disturbed
	r.details[floorName] = "one loop"
	r.notes = append(r.notes, "something to know")
	r.failures = append(r.failures, failure{"broken", &big, 1, errors.New("wrong byte")})
	return r
}

func TestRowIsTheMedianAndTheRatioIsOfOneRound(t *testing.T) {
	r := exampleReport()
	got := r.row("net", r.Shapes[0])
	want := row{
		Impl: "net", Rounds: 3, Rate: 50_000, P50: 200, P99: 400, P999: 600, CPU: 3000, Ratio: 1.5, ClientShare: 0.5,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRowWithoutFloorHasNoRatio(t *testing.T) {
	r := exampleReport()
	for round := range 3 {
		delete(r.results, cell{floorName, r.Shapes[0], round})
	}
	if got := r.row("net", r.Shapes[0]); got.Ratio != 0 || !strings.Contains(got.String(), nothing) {
		t.Errorf("ratio %v without anything to compare with: %s", got.Ratio, got)
	}
}

func TestTable(t *testing.T) {
	const want = `some machine
server on CPU 0, load on CPU 1; GOMAXPROCS of the servers 1; rounds 3, each measures 1s after 200ms of warm-up

                            msg/s    p50 µs    p99 µs  p99.9 µs  CPU ns/msg  CPU ratio  load CPU
64 connections × 64 B
  net                       50000       200       400       600        3000       1.50       50%
  bare-epoll               100000       100       200       300        2000       1.00       50%
  broken                        –         –         –         –           –          –         –
8 connections × 16 KiB, 16 in flight
  net                           –         –         –         –           –          –         –
  bare-epoll                    –         –         –         –           –          –         –
  broken FAILED                 –         –         –         –           –          –         –

Every number is the median over the rounds. CPU ratio: to bare-epoll in the same round.
bare-epoll: one loop
note: in 1 of 6 measurements server or load waited for a CPU that others used: msg/s and latencies
      are worse than the servers are; CPU ns/msg holds better
note: something to know
FAILED: broken, 8 connections × 16 KiB, 16 in flight, round 2: wrong byte
`
	if got := exampleReport().table("some machine"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}
