//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFitKeepsToItsTime(t *testing.T) {
	for n := 1; n <= 12; n++ {
		p := plan{Impls: make([]string, n), Shapes: quickShapes, Rounds: quickRounds, Warmup: 200 * time.Millisecond}
		p.fit(quickLength)
		if p.Window < 200*time.Millisecond || p.Window > time.Second {
			t.Errorf("%d implementations: window %v", n, p.Window)
		}
		if d := p.duration(); d > 45*time.Second {
			t.Errorf("%d implementations take %v", n, d)
		}
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

func TestPlanCheck(t *testing.T) {
	good := plan{Impls: []string{"net"}, Rounds: 1, Procs: 1, Window: time.Second}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*plan){
		`"nonsense": choose one of bare-epoll`: func(p *plan) { p.Impls = []string{"net", "nonsense"} },
		"twice":                                func(p *plan) { p.Impls = []string{"net", "net"} },
		"rounds":                               func(p *plan) { p.Rounds = 0 },
		"GOMAXPROCS":                           func(p *plan) { p.Procs = 0 },
		"time":                                 func(p *plan) { p.Window = 0 },
	} {
		bad := good
		spoil(&bad)
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestDefaultNamesAreTheOnesWithoutVariants(t *testing.T) {
	want := []string{"bare-epoll", "bare-uring", "net", "tandem-epoll", "tandem-uring"}
	if got := defaultNames(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
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
