package modeltest

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPairs counts which ordered pairs of operations on one stream are performed one right after the other, in random
// programs: TANDEM_SIMULATE_PAIRS of them.
func TestPairs(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("TANDEM_SIMULATE_PAIRS"))
	if n == 0 {
		t.Skip("TANDEM_SIMULATE_PAIRS says how many programs to run")
	}
	pairs := map[[2]string]int{}
	noteOp = func(w *world, o Op) {
		m := w.stream(o.On)
		if _, ok := streamOps[o.Do]; !ok || m == nil || m.s == nil {
			return
		}
		if m.lastOp != "" {
			pairs[[2]string{m.lastOp, o.Do}]++
		}
		m.lastOp = o.Do
	}
	defer func() { noteOp = func(*world, Op) {} }()
	for i := range n {
		p := programs().Example(i)
		require.NoError(t, run(t, p), p)
	}
	var missing [][2]string
	for _, a := range streamNames {
		for _, b := range streamNames {
			if pairs[[2]string{a, b}] == 0 {
				missing = append(missing, [2]string{a, b})
			}
		}
	}
	t.Logf("%d programs: %d of %d pairs", n, len(pairs), len(streamNames)*len(streamNames))
	require.Empty(t, missing)
}
