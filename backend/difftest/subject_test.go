package difftest

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDataOfEarlierStepsRunsNothing has bytes of an earlier step arrive while a step begins that waits for more of them.
func TestDataOfEarlierStepsRunsNothing(t *testing.T) {
	early := 0
	for range 20_000 {
		x := &subject{next: map[Place]func(){}}
		var arrives sync.WaitGroup
		arrives.Go(func() {
			for range 3 {
				x.runData(1000)
			}
		})
		x.atData(2000, func() { early++ })
		arrives.Wait()
	}
	require.Zero(t, early)
}
