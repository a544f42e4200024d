package backend

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runTaken runs what there is, and returns how many that was.
func runTaken(q *tasks) int {
	n := q.take()
	for range n {
		q.next().Run()
	}
	return n
}

func TestTasksOrder(t *testing.T) {
	var q tasks
	var got, want []int
	for batch := range 20 {
		for range batch * 7 % 11 {
			n := len(want)
			want = append(want, n)
			_, err := q.push(TaskFunc(func() { got = append(got, n) }))
			require.NoError(t, err)
		}
		runTaken(&q)
		require.True(t, q.empty())
		require.Zero(t, q.take(), "after everything was taken")
	}
	require.Equal(t, want, got)
}

// What is left of a batch comes before what was pushed later, and keeps the queue from being empty.
func TestTasksLeftOver(t *testing.T) {
	var q tasks
	var got []int
	push := func(n int) { _, _ = q.push(TaskFunc(func() { got = append(got, n) })) }
	for n := range 4 {
		push(n)
	}
	require.Equal(t, 4, q.take())
	q.next().Run()
	push(4)
	require.False(t, q.empty())
	require.Equal(t, 3, q.take())
	for range 3 {
		require.False(t, q.empty())
		q.next().Run()
	}
	require.Equal(t, 1, runTaken(&q))
	require.True(t, q.empty())
	require.Equal(t, []int{0, 1, 2, 3, 4}, got)
}

// TestTasksPushedMeanwhile pushes out of a task: it comes with the next batch.
func TestTasksPushedMeanwhile(t *testing.T) {
	var q tasks
	ran := 0
	var again TaskFunc
	again = func() {
		if ran++; ran < 10 {
			_, _ = q.push(again)
			_, _ = q.push(TaskFunc(func() {}))
		}
	}
	_, _ = q.push(again)
	for i := range 10 {
		runTaken(&q)
		assert.Equal(t, i+1, ran)
	}
}

// TestTasksWake looks at who has to wake the loop: the first to push while it sleeps, and nobody else.
func TestTasksWake(t *testing.T) {
	var q tasks
	for _, step := range []struct {
		state uint32
		wake  bool
	}{{awake, false}, {asleep, true}, {awake, false}, {asleep, true}} {
		q.state.Store(step.state)
		for i := range 3 {
			wake, _ := q.push(TaskFunc(func() {}))
			assert.Equal(t, step.wake && i == 0, wake, "push %d in state %d", i, step.state)
		}
	}
}

// A task is in the queue before the loop learns that it has to look: else it could look in vain, and sleep.
func TestTasksAreThereBeforeTheWake(t *testing.T) {
	for range 20 {
		var q tasks
		q.state.Store(asleep)
		q.mu.Lock() // nothing can be queued
		woken := make(chan bool)
		go func() {
			wake, _ := q.push(TaskFunc(func() {}))
			woken <- wake
		}()
		for began := time.Now(); time.Since(began) < 2*time.Millisecond; {
			if !assert.Equal(t, asleep, q.state.Load(), "the loop is woken for a task that is not there") {
				break
			}
		}
		q.mu.Unlock()
		assert.True(t, <-woken)
	}
}

func TestTasksClose(t *testing.T) {
	var q tasks
	ran := false
	_, _ = q.push(TaskFunc(func() { ran = true }))
	q.close()
	wake, err := q.push(TaskFunc(func() { t.Error("a task that was refused ran") }))
	assert.False(t, wake)
	require.ErrorIs(t, err, net.ErrClosed)
	assert.Equal(t, 1, runTaken(&q))
	assert.True(t, ran)
	assert.Zero(t, q.take())
}

func TestTasksForgetWhatRan(t *testing.T) {
	var q tasks
	for range 2 { // both halves of the double buffer
		_, _ = q.push(TaskFunc(func() {}))
		runTaken(&q)
		for _, list := range [][]Task{q.batch[:cap(q.batch)], q.queue[:cap(q.queue)]} {
			for _, task := range list {
				require.Nil(t, task)
			}
		}
	}
}
