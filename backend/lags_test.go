package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestLags counts times on both sides of each bound.
func TestLags(t *testing.T) {
	var s sharedLags
	var want Lags
	assert.Zero(t, want.Quantile(0.5))
	for i := range want {
		bound := int64(want.Bound(i))
		s.note(bound - 1)
		want[i]++
		if i+1 < len(want) {
			s.note(bound)
			want[i+1]++
		}
	}
	s.note(int64(time.Hour))
	s.note(-1)
	want[len(want)-1]++
	want[0]++
	got := s.load()
	assert.Equal(t, want, got)
	assert.EqualValues(t, 2*len(want)+1, got.Count())
	assert.Equal(t, got.Count()*2, got.Plus(got).Count())
	assert.Equal(t, time.Microsecond, got.Quantile(0))
	assert.Equal(t, got.Bound(len(got)/2), got.Quantile(0.5))
	assert.Equal(t, got.Bound(len(got)-1), got.Quantile(1))
}

// TestPostLags has a task wait, on a clock that is moved by hand. One of 64 is measured, and all run in order.
func TestPostLags(t *testing.T) {
	clock := &handClock{now: time.Unix(1000, 0)}
	l := NewLoop(LoopConfig{Driver: newFake(), CPU: -1, Clock: clock})
	assert.NoError(t, l.Bind())
	defer func() { _ = l.End() }()
	ran := 0
	for i := range 3 * lagsEvery {
		assert.NoError(t, l.Post(TaskFunc(func() { assert.Equal(t, i, ran); ran++ })))
	}
	clock.now = clock.now.Add(3 * time.Millisecond)
	for ran < 3*lagsEvery {
		_, err := l.Step(0)
		assert.NoError(t, err)
	}
	lags := l.PostLags()
	assert.EqualValues(t, 3, lags.Count())
	assert.Equal(t, 4096*time.Microsecond, lags.Quantile(0))
	assert.Equal(t, 4096*time.Microsecond, lags.Quantile(1))
}
