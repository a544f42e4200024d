//go:build linux

package campaign

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/bench/workload"
)

func TestProgress(t *testing.T) {
	w := workload.Workload{Kind: workload.KindEcho, Conns: 8, Size: 64, Depth: 1}
	p := Plan{Impls: []string{"bare-epoll", "net"}, Workloads: []workload.Workload{w}, Rounds: 5, Window: 1e9}
	for _, terminal := range []bool{false, true} {
		var said bytes.Buffer
		pr := NewProgress(&said, p)
		pr.terminal, pr.done = terminal, 5
		pr.show(Cell{"net", w, 2}, p.Rounds)
		pr.show(Cell{"bare-epoll", w, 2}, p.Rounds)
		got := said.String()
		if want := "[ 6/10] round 3 of 5: " + w.String() + ": net, about "; !strings.Contains(got, want) {
			t.Errorf("terminal %v: %q; want %q", terminal, got, want)
		}
		if lines := strings.Count(got, "\n"); !terminal && lines != 1 || terminal && lines != 0 {
			t.Errorf("terminal %v: %d lines", terminal, lines)
		}
		if half := strings.Repeat("█", 10) + strings.Repeat("░", 10); strings.Contains(got, half) != terminal {
			t.Errorf("terminal %v: %q", terminal, got)
		}
	}
}
