//go:build linux

package campaign

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
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
		assert.Contains(t, got, "[ 6/10] round 3 of 5: "+w.String()+": net, about ", "terminal %v", terminal)
		half := strings.Repeat("█", 10) + strings.Repeat("░", 10)
		if terminal {
			assert.Zero(t, strings.Count(got, "\n"), "lines on a terminal")
			assert.Contains(t, got, half)
		} else {
			assert.Equal(t, 1, strings.Count(got, "\n"), "lines of a log")
			assert.NotContains(t, got, half)
		}
	}
}
