package session

import (
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadingBehindTheLoop has several goroutines read streams of a loop that is over, as Options.Debug lets them: there is
// nothing, and they do not get into each other's way.
func TestReadingBehindTheLoop(t *testing.T) {
	st := newStage(t, 1)
	var all []*Stream
	for range 2 {
		s, err := st.engine.Adopt(anyConn{}, &recorder{})
		require.NoError(t, err)
		all = append(all, s)
	}
	st.turn()
	st.kill(st.engine.loops[0], errors.New("the driver has failed"))
	var wg sync.WaitGroup
	for _, s := range all {
		require.True(t, s.isClosed())
		wg.Go(func() {
			for range 100 {
				readNothing(t, s)
			}
		})
	}
	wg.Wait()
}

// readNothing reads from a stream that is over, in all ways.
func readNothing(t *testing.T, s *Stream) {
	assert.Zero(t, s.Buffered())
	b, err := s.Take(-1)
	if assert.NoError(t, err) {
		assert.Empty(t, b.Bytes())
		b.Release()
	}
	_, err = s.Take(1)
	assert.ErrorIs(t, err, net.ErrClosed)
	for _, n := range []int{-1, 0} {
		p, err := s.Next(n)
		assert.NoError(t, err)
		assert.Empty(t, p)
		_, err = s.Discard(n)
		assert.NoError(t, err)
	}
	_, err = s.Read(make([]byte, 1))
	assert.ErrorIs(t, err, net.ErrClosed)
	n, err := s.WriteTo(io.Discard)
	assert.NoError(t, err)
	assert.Zero(t, n)
	assert.Empty(t, s.TakeFiles())
}

// TestShareOfATurn has a stream spend its share in steps of every size. What does not fit is still spent, on machines of 32
// bits, too.
func TestShareOfATurn(t *testing.T) {
	budget := 256 << 10
	for name, steps := range map[string][]int{
		"one byte too little": {budget - 1},
		"all":                 {budget},
		"in steps":            {1, budget - 2, 1},
		"very much":           {math.MaxInt32, math.MaxInt32, math.MaxInt32},
		"all that an int has": {math.MaxInt, math.MaxInt},
	} {
		t.Run(name, func(t *testing.T) {
			var r rx
			r.beginTurn(1)
			sum := 0.0
			for _, n := range steps {
				r.spend(n)
				sum += float64(n)
			}
			assert.Equal(t, sum < float64(budget), r.hasShare(budget))
			r.beginTurn(1)
			assert.Equal(t, sum < float64(budget), r.hasShare(budget), "the same turn")
			r.beginTurn(2)
			assert.True(t, r.hasShare(budget), "the next turn")
			for range 3 {
				r.spendTime(math.MaxInt64)
			}
			assert.False(t, r.hasShare(budget), "all of its time")
			r.beginTurn(3)
			r.spendTime(-1)
			assert.True(t, r.hasShare(budget), "a clock that went back")
		})
	}
}
