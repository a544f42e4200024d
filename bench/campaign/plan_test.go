//go:build linux

package campaign

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestFitKeepsToItsTime(t *testing.T) {
	for n := 1; n <= len(QuickImpls); n++ {
		p := Plan{Impls: QuickImpls[:n], Workloads: QuickWorkloads, Rounds: QuickRounds, Warmup: QuickWarmup}
		p.Fit(QuickLength, LeastFit, QuickWindow)
		assert.GreaterOrEqual(t, p.Window, LeastFit, "%d implementations", n)
		assert.LessOrEqual(t, p.Window, QuickWindow, "%d implementations", n)
		assert.LessOrEqual(t, p.Duration(), QuickLength+time.Second, "%d implementations", n)
	}
	full := Plan{Impls: servers.DefaultNames(), Workloads: FullWorkloads, Rounds: FullRounds, Warmup: 200 * time.Millisecond}
	full.Fit(FullLength, LeastFit, FullWindow)
	assert.LessOrEqual(t, full.Duration(), 20*time.Minute, "the full matrix")
	assert.GreaterOrEqual(t, full.Window, 900*time.Millisecond, "the full matrix")
}

func TestConfine(t *testing.T) {
	for _, c := range []struct {
		procs        int
		cpus         []int
		server, load []int
	}{
		{1, []int{0, 1}, []int{0}, []int{1}},
		{1, []int{4, 6, 7}, []int{4}, []int{6}},
		{2, []int{0, 1, 2}, []int{0, 1}, []int{2}},
		{1, []int{3}, nil, nil},
		{2, []int{0, 1}, nil, nil},
	} {
		p := Plan{Procs: c.procs}
		p.Confine(c.cpus)
		assert.Equal(t, c.server, p.ServerCPUs, "%d of %v", c.procs, c.cpus)
		assert.Equal(t, c.load, p.LoadCPUs, "%d of %v", c.procs, c.cpus)
	}
}

// A workload may want more CPUs for the server than the run: it is confined, if that is possible, to its own.
func TestConfineByWorkload(t *testing.T) {
	p := Plan{Procs: 1}
	wide := workload.Workload{Procs: 2}
	p.Confine([]int{4, 5, 6})
	assert.Equal(t, p, p.of(workload.Workload{}))
	assert.Equal(t, p, p.of(workload.Workload{Procs: 1}))
	assert.Equal(t, []int{4}, p.ServerCPUs)
	assert.Equal(t, 2, p.of(wide).Procs)
	assert.Equal(t, []int{4, 5}, p.of(wide).ServerCPUs)
	assert.Equal(t, []int{6}, p.of(wide).LoadCPUs)
	p.Confine([]int{4, 5})
	assert.Empty(t, p.of(wide).ServerCPUs)
	assert.Empty(t, p.of(wide).LoadCPUs)
	args, err := p.of(wide).serveArguments(Cell{Impl: "gnet", Workload: workload.Workload{Kind: workload.KindEcho, Procs: 2}}, "")
	require.NoError(t, err)
	assert.Equal(t, "2", args[slices.Index(args, "--loops")+1])
}

var smallEcho = workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1}

func TestPlanCheck(t *testing.T) {
	good := Plan{Impls: []string{"net"}, Workloads: []workload.Workload{smallEcho}, Rounds: 1, Procs: 1, Window: time.Second}
	require.NoError(t, good.Check())
	for want, spoil := range map[string]func(*Plan){
		`"nonsense": choose one of bare-epoll`: func(p *Plan) { p.Impls = []string{"net", "nonsense"} },
		"named twice":                          func(p *Plan) { p.Impls = []string{"net", "net"} },
		"asked for twice":                      func(p *Plan) { p.Workloads = []workload.Workload{smallEcho, smallEcho} },
		"rounds":                               func(p *Plan) { p.Rounds = 0 },
		"GOMAXPROCS":                           func(p *Plan) { p.Procs = 0 },
		"time to measure":                      func(p *Plan) { p.Window = 0 },
		"time to warm up":                      func(p *Plan) { p.Warmup = -1 },
		"connections":                          func(p *Plan) { p.Workloads = []workload.Workload{{Kind: workload.KindEcho, Size: 1, Depth: 1}} },
		"nothing to measure: left out, because they have no mode worker: evio": func(p *Plan) {
			p.Impls, p.Workloads = []string{"evio"}, []workload.Workload{{Kind: workload.KindWorker, Conns: 1, Size: 1, Depth: 1}}
		},
	} {
		bad := good
		spoil(&bad)
		assert.ErrorContains(t, bad.Check(), want)
	}
}

func TestMeasurementsTakeTurns(t *testing.T) {
	worker := workload.Workload{Kind: workload.KindWorker, Conns: 1, Size: 1, Depth: 1}
	p := Plan{Impls: []string{"net", "evio", "gnet"}, Workloads: []workload.Workload{smallEcho, worker}, Rounds: 2}
	want := []Cell{
		{"net", smallEcho, 0}, {"evio", smallEcho, 0}, {"gnet", smallEcho, 0}, {"net", worker, 0}, {"gnet", worker, 0},
		{"net", smallEcho, 1}, {"evio", smallEcho, 1}, {"gnet", smallEcho, 1}, {"net", worker, 1}, {"gnet", worker, 1},
	}
	assert.Equal(t, want, p.Cells())
}

func TestLackingSaysWhy(t *testing.T) {
	worker := workload.Workload{Kind: workload.KindWorker, Conns: 1, Size: 1, Depth: 1}
	p := Plan{Impls: []string{"net", "bare-epoll", "evio"}, Workloads: []workload.Workload{smallEcho, worker, worker}}
	evio, err := servers.Find("evio")
	require.NoError(t, err)
	reason := evio.Lacks[workload.ModeWorker]
	want := []string{"left out, because they have no mode worker: bare-epoll, evio (" + reason + ")"}
	assert.Equal(t, want, p.lacking())
	p.Impls = []string{"net", "gorilla"}
	assert.Empty(t, p.lacking(), "a server of one mode")
	p.Named = true
	assert.Equal(t, []string{"left out, because they have no mode echo: gorilla", "left out, because they have no mode worker: gorilla"}, p.lacking())
}

func TestDefaultNamesAreTheOnesWithoutVariants(t *testing.T) {
	want := []string{
		"bare-epoll", "bare-uring", "coder", "evio", "fasthttp", "gnet", "gorilla", "nbio", "net", "netpoll", "tandem-epoll", "tandem-uring",
	}
	assert.Equal(t, want, servers.DefaultNames())
}

func TestMatricesAreSound(t *testing.T) {
	for _, w := range slices.Concat(QuickWorkloads, FullWorkloads) {
		assert.NoError(t, w.Check(), w)
	}
	for _, k := range workload.Kinds {
		measured := slices.ContainsFunc(FullWorkloads, func(w workload.Workload) bool { return w.Kind == k.Name })
		assert.True(t, measured, "the full matrix has no %s", k.Name)
	}
	for _, im := range servers.All() {
		assert.Subset(t, workload.Modes, im.Modes, im.Name)
	}
}

func TestFirstRoundDone(t *testing.T) {
	p := Plan{Impls: []string{"net", "evio"}, Workloads: []workload.Workload{smallEcho, {Kind: workload.KindWorker, Conns: 1, Size: 1, Depth: 1}}, Rounds: 3}
	for samples, want := range map[int]bool{0: false, 2: false, 3: true, 5: true} { // evio has no workers
		assert.Equal(t, want, FirstRoundDone(p, &results.Results{Samples: make([]results.Sample, samples)}), "after %d samples", samples)
	}
}
