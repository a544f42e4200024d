package difftest

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDataOfEarlierStepsRunsNothing has bytes of an earlier step arrive while a step begins that waits for more of them.
func TestDataOfEarlierStepsRunsNothing(t *testing.T) {
	early := 0
	for range 20_000 {
		x := &subject{next: map[Place]func(){}}
		var arrives sync.WaitGroup
		var begun atomic.Bool
		arrives.Go(func() {
			for again := 20; again > 0; again-- {
				begun.Store(true)
				x.runData(1000)
			}
		})
		for !begun.Load() {
			runtime.Gosched()
		}
		x.atData(2000, func() { early++ })
		arrives.Wait()
	}
	require.Zero(t, early)
}
