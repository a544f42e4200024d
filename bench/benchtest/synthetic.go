package benchtest

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// Weather lists how a shared machine can behave. Offset is the difference between two starts of the same program: 0.01.
var Weather = map[string]Synthetic{
	"calm":     {Noise: 0.02, Offset: 0.01},
	"drift":    {Noise: 0.03, Offset: 0.01, Drift: 0.3},
	"outliers": {Noise: 0.03, Offset: 0.01, Drift: 0.1, Outliers: 0.05},
	"noise":    {Noise: 0.06, Offset: 0.01, Drift: 0.2, Outliers: 0.02},
}

// Microsecond is on top of each message of tandem-epoll.
func Microsecond(impl string, _ workload.Workload) int {
	if impl == "tandem-epoll" {
		return 1000
	}
	return 0
}

// CalmRun is a run on a quiet machine: the floor and two servers under three workloads.
func CalmRun(seed uint64, extra func(string, workload.Workload) int) *results.Results {
	loads := []workload.Workload{ClosedLoads[0], ClosedLoads[3], {Kind: workload.KindIdle, Conns: 1000, Size: 0, Depth: 0, Rate: 0}}
	return Synthetic{Seed: seed, Impls: []string{results.Floor, "tandem-epoll", "net"}, Workloads: loads, Rounds: 5, Noise: 0.01,
		Latency: true, Extra: extra}.Run()
}

// Synthetic describes a made-up run: what servers cost, and how the machine disturbed it.
type Synthetic struct {
	Seed      uint64
	Impls     []string
	Workloads []workload.Workload
	Rounds    int

	Noise    float64                                    // of each measurement, as a share
	Drift    float64                                    // the machine gets slower by this share from the first round to the last
	Machine  float64                                    // the whole run is slower by this share
	Offset   float64                                    // of each server in this run, as a share: where its memory happens to lie
	Outliers float64                                    // share of the measurements that cost half as much again
	Extra    func(impl string, w workload.Workload) int // nanoseconds per message on top
	NoFloor  bool
	Latency  bool
}

// costs are the servers' nanoseconds per message of 64 bytes, as multiples of the floor's.
var costs = map[string]float64{
	"bare-epoll": 1, "bare-uring": 0.96, "net": 1.33, "tandem-epoll": 1.05, "tandem-uring": 0.98,
	"gnet": 1.4, "nbio": 1.45, "netpoll": 1.6, "evio": 1.75,
}

var (
	allImpls = []string{"bare-epoll", "bare-uring", "net", "tandem-epoll", "tandem-uring", "gnet", "netpoll", "nbio", "evio"}

	// ClosedLoads are workloads without a rate.
	ClosedLoads = []workload.Workload{
		{Kind: "echo", Conns: 64, Size: 64, Depth: 1, Rate: 0}, {Kind: "echo", Conns: 1000, Size: 64, Depth: 1, Rate: 0}, {Kind: "echo", Conns: 64, Size: 64, Depth: 16, Rate: 0}, {Kind: "echo", Conns: 64, Size: 16384, Depth: 1, Rate: 0},
		{Kind: "frame-echo", Conns: 64, Size: 64, Depth: 16, Rate: 0}, {Kind: "churn", Conns: 8, Size: 64, Depth: 1, Rate: 0}, {Kind: "worker", Conns: 64, Size: 64, Depth: 1, Rate: 0}, {Kind: "stream", Conns: 8, Size: 65536, Depth: 1, Rate: 0},
	}
)

// allLoads adds an open loop and idle connections to those that compare knows to compare.
func allLoads() []workload.Workload {
	loads := append([]workload.Workload(nil), ClosedLoads...)
	for _, rate := range []int{20_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000} {
		loads = append(loads, workload.Workload{Kind: "echo", Conns: 64, Size: 64, Depth: 1, Rate: rate})
	}
	return append(loads, workload.Workload{Kind: "idle", Conns: 10_000, Size: 0, Depth: 0, Rate: 0})
}

// floorCost is the CPU time that the floor needs for a message, in nanoseconds.
func floorCost(w workload.Workload) float64 {
	cost := 3300 + 0.1*float64(w.Size)
	if w.Depth > 1 {
		cost = 210
	}
	if w.Kind == "churn" {
		cost = 11_900
	}
	return cost
}

// Run makes the results up.
func (y Synthetic) Run() *results.Results {
	rng := rand.New(rand.NewPCG(y.Seed, 7))
	r := &results.Results{
		Format: results.Format, Program: "v0.9.0-3-gabcdef", Label: "synthetic", Took: 20 * time.Minute,
		Began: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Machine: results.Machine{
			CPU: "Example CPU @ 2.50GHz", CPUs: 2, Memory: 8 << 30, Kernel: "Linux 6.18.0", Governor: "performance",
			Mitigations: map[string]string{"spectre_v2": "Mitigation: Enhanced IBRS", "meltdown": "Not affected"},
			Virtual:     "kvm", Go: "go1.26.8", Modules: map[string]string{"github.com/panjf2000/gnet/v2": "v2.10.0"},
		},
		Setting: results.Setting{
			Rounds: y.Rounds, Warmup: 200 * time.Millisecond, Window: time.Second, Procs: 1, ServerCPUs: []int{0},
			LoadCPUs: []int{1}, Network: "loopback",
		},
	}
	offset := make(map[string]float64)
	for _, impl := range y.Impls {
		r.Servers = append(r.Servers, results.Server{Impl: impl, About: "about " + impl, Version: "v1.2.3"})
		offset[impl] = rng.NormFloat64() * y.Offset
	}
	for round := range y.Rounds {
		drift := 1.0
		if y.Rounds > 1 {
			drift += y.Drift * float64(round) / float64(y.Rounds-1)
		}
		for _, impl := range y.Impls {
			for _, w := range y.Workloads {
				slowness := (1 + y.Machine) * drift * math.Exp(offset[impl]+rng.NormFloat64()*y.Noise)
				if rng.Float64() < y.Outliers {
					slowness *= 1.5
				}
				r.Samples = append(r.Samples, y.sample(rng, impl, w, round, slowness))
			}
		}
	}
	return r
}

func (y Synthetic) sample(rng *rand.Rand, impl string, w workload.Workload, round int, slowness float64) results.Sample {
	cost := floorCost(w) * costs[impl]
	if y.Extra != nil {
		cost += float64(y.Extra(impl, w))
	}
	cost *= slowness
	s := results.Sample{Impl: impl, Workload: w, Round: round, Window: time.Second}
	if w.Kind == workload.KindIdle {
		s.PerConn = 800 * costs[impl] * costs[impl] * slowness
		s.Resident = 10<<20 + int64(s.PerConn)*int64(w.Conns)
		return s
	}
	s.Messages = int64(0.9e9 / cost)
	if w.Rate > 0 {
		due := int64(w.Rate)
		s.Late = max(0, due-s.Messages)
		s.Messages = min(due, s.Messages)
	}
	s.Bytes = s.Messages * int64(w.Size)
	s.ServerCPU = time.Duration(float64(s.Messages) * cost)
	s.ServerWait, s.ClientCPU = 10*time.Millisecond, 600*time.Millisecond
	s.Syscalls = 2 * s.Messages
	if y.Latency {
		s.Latency = syntheticLatency(rng, s, cost)
	}
	return s
}

// syntheticLatency has a tail, and in an open loop a queue that grows as the server comes near its limit.
func syntheticLatency(rng *rand.Rand, s results.Sample, cost float64) string {
	typical := cost * float64(max(s.Workload.Conns, 1)*max(s.Workload.Depth, 1)) / 2
	if s.Workload.Rate > 0 {
		busy := min(float64(s.Workload.Rate)*cost/0.9e9, 0.999)
		typical = 20_000 + cost/(1-busy)
	}
	h := hdrhistogram.New(1, int64(time.Minute), 3)
	for range 2000 {
		v := typical * math.Exp(0.25*rng.NormFloat64())
		if rng.Float64() < 0.01 {
			v *= 1 + 10*rng.ExpFloat64()
		}
		_ = h.RecordValue(int64(min(v, 5e10)))
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// exampleRun is made once, because histograms take their time.
var exampleRun = sync.OnceValue(func() *results.Results {
	r := Synthetic{Seed: 1, Impls: allImpls, Workloads: allLoads(), Rounds: 5, Noise: 0.03, Drift: 0.1, Outliers: 0.02,
		Latency: true}.Run()
	r.Notes = []string{"tandem-uring: something to know"}
	r.Failures = []string{"evio, stream, 8 connections × 64 KiB, round 2: wrong byte <&>"}
	return r
})

// ExampleResults returns a run that has everything a report shows. The caller owns the struct, but not what it points
// to.
func ExampleResults(t *testing.T) *results.Results {
	t.Helper()
	r := *exampleRun()
	return &r
}
