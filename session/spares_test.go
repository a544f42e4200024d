package session

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestSpares takes and gives back in any order: nobody gets what somebody else has.
func TestSpares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p spares[[16]byte]
		var taken []*[16]byte
		out := map[*[16]byte]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(-200, 200), 1, 20).Draw(t, "takes") {
			for ; n > 0; n-- {
				x := p.pop()
				if x == nil {
					x = new([16]byte)
				}
				require.False(t, out[x], "it was lent twice")
				out[x] = true
				taken = append(taken, x)
			}
			for ; n < 0 && len(taken) > 0; n++ {
				p.push(taken[0])
				delete(out, taken[0])
				taken = taken[1:]
			}
			assert.LessOrEqual(t, len(p.few), 2*batchSize)
		}
	})
}

// TestSparesAfterBurst: of what a burst has left, the garbage collector frees all but a few.
func TestSparesAfterBurst(t *testing.T) {
	var p spares[[16]byte]
	for range 1000 {
		p.push(new([16]byte))
	}
	for range 4 {
		runtime.GC()
	}
	n := 0
	for p.pop() != nil {
		n++
	}
	assert.LessOrEqual(t, n, 2*batchSize)
	assert.GreaterOrEqual(t, n, batchSize)
}
