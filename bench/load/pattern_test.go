//go:build linux

package load

import (
	"bytes"
	"slices"
	"testing"
)

func TestPatternIsTheSameInEveryProcess(t *testing.T) {
	a, b := newPattern(64), newPattern(64)
	if !bytes.Equal(a.batch(3, 17, 64), b.batch(3, 17, 64)) {
		t.Fatal("two patterns differ")
	}
}

func TestPatternTellsConnectionsAndMessagesApart(t *testing.T) {
	p := newPattern(64)
	for conn := range 200 {
		mine := p.batch(conn, 5, 64)
		if other := p.batch(conn+1, 5, 64); firstDifference(mine, other) < 0 {
			t.Errorf("connections %d and %d send the same", conn, conn+1)
		}
		if next := p.batch(conn, 6, 64); firstDifference(mine, next) < 0 {
			t.Errorf("connection %d sends the same twice", conn)
		}
	}
}

func TestPatternReachesEveryStart(t *testing.T) {
	p := newPattern(1 << 20)
	for _, seq := range []uint64{0, patternPeriod - 1, patternPeriod, 1<<64 - 1} {
		if n := len(p.batch(1<<20, seq, 1<<20)); n != 1<<20 {
			t.Errorf("batch %d has %d bytes", seq, n)
		}
	}
}

func TestFirstDifferenceFindsEveryFlippedBit(t *testing.T) {
	want := newPattern(64).batch(0, 0, 64)
	if at := firstDifference(slices.Clone(want), want); at != -1 {
		t.Fatalf("equal bytes differ at %d", at)
	}
	for i := range 8 * len(want) {
		got := slices.Clone(want)
		got[i/8] ^= 1 << (i % 8)
		if at := firstDifference(got, want); at != i/8 {
			t.Errorf("bit %d flipped: difference at %d, want %d", i, at, i/8)
		}
	}
}
