package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// blockedTask is a task that does not return.
func blockedTask(in, hold chan struct{}) {
	close(in)
	<-hold
}

// TestLoopStack looks for the stack of a loop's goroutine among those of thousands, which do not fit into the first buffer.
func TestLoopStack(t *testing.T) {
	in, hold := make(chan struct{}), make(chan struct{})
	for range 2000 {
		go func() { <-hold }()
	}
	l := NewLoop(LoopConfig{Driver: newFake(), CPU: -1})
	assert.Nil(t, l.Stack(), "of a loop that is no goroutine's")
	go func() { _ = l.Run() }()
	require.NoError(t, l.Post(TaskFunc(func() { blockedTask(in, hold) })))
	<-in
	stack := string(l.Stack())
	assert.Contains(t, stack, "blockedTask")
	assert.NotContains(t, stack, "\n\ngoroutine", "more than one")
	close(hold)
	require.NoError(t, l.Post(TaskFunc(l.Stop)))
	<-l.Done()
}

// TestStackIn finds a stack that is whole.
func TestStackIn(t *testing.T) {
	stacks := []byte("goroutine 1 [running]:\na\n\ngoroutine 12 [select]:\nb\n\ngoroutine 2 [select]:\nc\n")
	find := func(head string, all bool) string { return string(stackIn(stacks, []byte(head), all)) }
	assert.Equal(t, "goroutine 12 [select]:\nb", find("goroutine 12 [", false))
	assert.Equal(t, "goroutine 1 [running]:\na", find("goroutine 1 [", false))
	assert.Empty(t, find("goroutine 2 [", false), "one that may have been cut off")
	assert.Equal(t, "goroutine 2 [select]:\nc\n", find("goroutine 2 [", true))
	assert.Empty(t, find("goroutine 3 [", true))
}

// TestSigns asks a loop for signs while it is stepped: it rests between steps, until a callback begins.
func TestSigns(t *testing.T) {
	roused := 0
	l := NewLoop(LoopConfig{Driver: newFake(), CPU: -1, Roused: func() { roused++ }})
	require.NoError(t, l.Bind())
	require.True(t, l.Resting())
	step := func() {
		_, err := l.Step(0)
		require.NoError(t, err)
		require.True(t, l.Resting(), "between two steps")
	}
	for range 3 {
		require.NoError(t, l.Post(TaskFunc(func() {
			assert.True(t, l.Resting(), "before a callback")
			l.Ask()
			assert.True(t, l.Unanswered())
			l.Enter()
			assert.False(t, l.Unanswered(), "a callback begins")
			assert.False(t, l.Resting(), "a callback begins")
			l.Enter()
			l.Ask()
			l.Answer()
			assert.False(t, l.Unanswered(), "it has ended")
			l.Ask()
		})))
		step()
		assert.False(t, l.Unanswered(), "the loop has polled")
	}
	assert.Equal(t, 3, roused)
	step()
	assert.Equal(t, 3, roused)
	require.NoError(t, l.End())
	assert.True(t, l.Resting())
}

// TestAlarm sets an alarm again and again, which allocates nothing.
func TestAlarm(t *testing.T) {
	rang := make(chan struct{}, 10)
	a := NewAlarm(SystemClock{}, func() { rang <- struct{}{} })
	a.Stop() // which is not set
	for range 3 {
		a.Set(time.Microsecond)
		select {
		case <-rang:
		case <-time.After(5 * time.Second):
			require.Fail(t, "the alarm does not ring")
		}
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { a.Set(time.Hour); a.Stop() }))
	a.Set(time.Millisecond)
	a.Stop()
	time.Sleep(10 * time.Millisecond) // there is nothing to wait for: by then it would have rung
	assert.Empty(t, rang, "it rings although it was stopped")
}
