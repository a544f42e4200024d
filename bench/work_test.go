//go:build linux

package main

import (
	"slices"
	"testing"
	"time"
)

// Only servers that are compared burn CPU, and only under loads that have messages.
func TestWhoBurns(t *testing.T) {
	p := plan{Procs: 1, Work: time.Microsecond}
	for _, k := range []struct {
		impl, kind string
		want       bool
	}{
		{"tandem-epoll", kindEcho, true}, {"gnet", kindFrameEcho, true}, {"net", kindChurn, true},
		{"tandem-uring", kindStream, false}, {"bare-epoll", kindEcho, false}, {"bare-uring", kindEcho, false},
	} {
		args, err := p.serveArguments(cell{Impl: k.impl, Workload: workload{Kind: k.kind}}, "")
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.Index(args, "--work"); (i >= 0) != k.want || k.want && args[i+1] != "1µs" {
			t.Errorf("%s under %s: %q", k.impl, k.kind, args)
		}
	}
}
