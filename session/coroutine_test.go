package session

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCoroutine has a coroutine go on step by step, on goroutines that are locked to threads and that are not.
func TestCoroutine(t *testing.T) {
	var steps []int
	c := newCoroutine(func(wait func() bool) {
		for i := 0; wait(); i++ {
			steps = append(steps, i)
		}
		steps = append(steps, -1)
	})
	assert.True(t, c.next())
	assert.Empty(t, steps)
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		done <- c.next()
	}()
	assert.True(t, <-done)
	assert.True(t, c.next())
	c.stop()
	assert.Equal(t, []int{0, 1, -1}, steps)
}

// TestCoroutineEnds has coroutines end without waiting, by runtime.Goexit, and before they began; and one that waits
// again although nothing will come.
func TestCoroutineEnds(t *testing.T) {
	assert.False(t, newCoroutine(func(func() bool) {}).next())
	assert.False(t, newCoroutine(func(func() bool) { runtime.Goexit() }).next())
	newCoroutine(func(func() bool) { t.Error("it has begun") }).stop()
	n := 0
	c := newCoroutine(func(wait func() bool) {
		for ; n < 3; n++ {
			wait()
		}
	})
	assert.True(t, c.next())
	c.stop()
	assert.Equal(t, 3, n)
}
