//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFitKeepsToItsTime(t *testing.T) {
	for n := 1; n <= len(quickImpls); n++ {
		p := plan{Impls: quickImpls[:n], Workloads: quickWorkloads, Rounds: quickRounds, Warmup: 200 * time.Millisecond}
		p.fit(quickLength, leastFit, quickWindow)
		if p.Window < leastFit || p.Window > quickWindow {
			t.Errorf("%d implementations: window %v", n, p.Window)
		}
		if d := p.duration(); d > quickLength+time.Second {
			t.Errorf("%d implementations take %v", n, d)
		}
	}
	full := plan{Impls: defaultNames(), Workloads: fullWorkloads, Rounds: fullRounds, Warmup: 200 * time.Millisecond}
	full.fit(fullLength, leastFit, fullWindow)
	if d := full.duration(); d > 20*time.Minute || full.Window < time.Second {
		t.Errorf("the full matrix takes %v with windows of %v", d, full.Window)
	}
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
		p := plan{Procs: c.procs}
		p.confine(c.cpus)
		if !slices.Equal(p.ServerCPUs, c.server) || !slices.Equal(p.LoadCPUs, c.load) {
			t.Errorf("%d of %v: server %v, load %v", c.procs, c.cpus, p.ServerCPUs, p.LoadCPUs)
		}
	}
}

var smallEcho = workload{Kind: kindEcho, Conns: 2, Size: 64, Depth: 1}

func TestPlanCheck(t *testing.T) {
	good := plan{Impls: []string{"net"}, Workloads: []workload{smallEcho}, Rounds: 1, Procs: 1, Window: time.Second}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*plan){
		`"nonsense": choose one of bare-epoll`: func(p *plan) { p.Impls = []string{"net", "nonsense"} },
		"named twice":                          func(p *plan) { p.Impls = []string{"net", "net"} },
		"asked for twice":                      func(p *plan) { p.Workloads = []workload{smallEcho, smallEcho} },
		"rounds":                               func(p *plan) { p.Rounds = 0 },
		"GOMAXPROCS":                           func(p *plan) { p.Procs = 0 },
		"time to measure":                      func(p *plan) { p.Window = 0 },
		"time to warm up":                      func(p *plan) { p.Warmup = -1 },
		"connections":                          func(p *plan) { p.Workloads = []workload{{Kind: kindEcho, Size: 1, Depth: 1}} },
		"nothing to measure: left out, because they have no mode worker: evio": func(p *plan) {
			p.Impls, p.Workloads = []string{"evio"}, []workload{{Kind: kindWorker, Conns: 1, Size: 1, Depth: 1}}
		},
	} {
		bad := good
		spoil(&bad)
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestMeasurementsTakeTurns(t *testing.T) {
	worker := workload{Kind: kindWorker, Conns: 1, Size: 1, Depth: 1}
	p := plan{Impls: []string{"net", "evio", "gnet"}, Workloads: []workload{smallEcho, worker}, Rounds: 2}
	want := []cell{
		{"net", smallEcho, 0}, {"evio", smallEcho, 0}, {"gnet", smallEcho, 0}, {"net", worker, 0}, {"gnet", worker, 0},
		{"net", smallEcho, 1}, {"evio", smallEcho, 1}, {"gnet", smallEcho, 1}, {"net", worker, 1}, {"gnet", worker, 1},
	}
	if got := p.cells(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestLackingSaysWhy(t *testing.T) {
	conn := workload{Kind: kindConnEcho, Conns: 1, Size: 1, Depth: 1}
	p := plan{Impls: []string{"net", "gnet", "tandem-epoll"}, Workloads: []workload{smallEcho, conn, conn}}
	want := []string{"left out, because they have no mode conn-echo: gnet, tandem-epoll (its net.Conn view is not there yet)"}
	if got := p.lacking(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDefaultNamesAreTheOnesWithoutVariants(t *testing.T) {
	want := []string{"bare-epoll", "bare-uring", "evio", "gnet", "nbio", "net", "netpoll", "tandem-epoll", "tandem-uring"}
	if got := defaultNames(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMatricesAreSound(t *testing.T) {
	for _, w := range slices.Concat(quickWorkloads, fullWorkloads) {
		if err := w.check(); err != nil {
			t.Errorf("%v: %v", w, err)
		}
	}
	for _, k := range kinds {
		if !slices.ContainsFunc(fullWorkloads, func(w workload) bool { return w.Kind == k.Name }) {
			t.Errorf("the full matrix has no %s", k.Name)
		}
	}
	for _, im := range implementations() {
		for _, mode := range im.Modes {
			if !slices.Contains(modes, mode) {
				t.Errorf("%s has a mode %q that there is not", im.Name, mode)
			}
		}
	}
}

func TestParseListening(t *testing.T) {
	for _, c := range []struct{ line, addr, details string }{
		{"listening on 127.0.0.1:9 impl net mode echo", "127.0.0.1:9", ""},
		{"listening on [::1]:9 impl x mode echo two words", "[::1]:9", "two words"},
	} {
		addr, details, err := parseListening(c.line)
		if err != nil || addr != c.addr || details != c.details {
			t.Errorf("%q: %q, %q, %v", c.line, addr, details, err)
		}
	}
	if _, _, err := parseListening("panic: something"); err == nil {
		t.Error("no error for a line that is something else")
	}
}
