//go:build linux

package load

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPatternIsTheSameInEveryProcess(t *testing.T) {
	a, b := newPattern(64), newPattern(64)
	assert.Equal(t, a.batch(3, 17, 64), b.batch(3, 17, 64))
}

func TestPatternTellsConnectionsAndMessagesApart(t *testing.T) {
	p := newPattern(64)
	for conn := range 200 {
		mine := p.batch(conn, 5, 64)
		assert.NotEqual(t, mine, p.batch(conn+1, 5, 64), "connections %d and %d", conn, conn+1)
		assert.NotEqual(t, mine, p.batch(conn, 6, 64), "two messages of connection %d", conn)
	}
}

func TestPatternReachesEveryStart(t *testing.T) {
	p := newPattern(1 << 20)
	for _, seq := range []uint64{0, patternPeriod - 1, patternPeriod, 1<<64 - 1} {
		assert.Equal(t, 1<<20, len(p.batch(1<<20, seq, 1<<20)), "bytes of batch %d", seq)
	}
}

func TestFirstDifferenceFindsEveryFlippedBit(t *testing.T) {
	want := newPattern(64).batch(0, 0, 64)
	require.Equal(t, -1, firstDifference(slices.Clone(want), want))
	for i := range 8 * len(want) {
		got := slices.Clone(want)
		got[i/8] ^= 1 << (i % 8)
		assert.Equal(t, i/8, firstDifference(got, want), "bit %d flipped", i)
	}
}
