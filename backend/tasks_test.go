package backend

import (
	"errors"
	"net"
	"testing"
)

func TestTasksOrder(t *testing.T) {
	var q tasks
	var got []int
	push := func(n int) {
		if _, err := q.push(TaskFunc(func() { got = append(got, n) })); err != nil {
			t.Fatal(err)
		}
	}
	run := func() {
		for _, task := range q.take() {
			task.Run()
		}
	}
	next := 0
	for batch := range 20 {
		for range batch * 7 % 11 {
			push(next)
			next++
		}
		run()
		if !q.empty() || q.take() != nil {
			t.Fatal("there is something after everything was taken")
		}
	}
	for i, n := range got {
		if i != n {
			t.Fatalf("task %d ran as number %d", n, i)
		}
	}
	if len(got) != next {
		t.Fatalf("%d tasks ran, of %d", len(got), next)
	}
}

// TestTasksPushedMeanwhile pushes out of a task: it comes with the next take, and the one before stays valid.
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
	for range 10 {
		for _, task := range q.take() {
			task.Run()
		}
	}
	if ran != 10 {
		t.Errorf("it ran %d times", ran)
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
			if wake, _ := q.push(TaskFunc(func() {})); wake != (step.wake && i == 0) {
				t.Errorf("push %d in state %d: wake is %t", i, step.state, wake)
			}
		}
	}
}

func TestTasksClose(t *testing.T) {
	var q tasks
	_, _ = q.push(TaskFunc(func() {}))
	if q.close() {
		t.Fatal("closed with a task that was not taken")
	}
	q.take()
	if !q.close() {
		t.Fatal("not closed")
	}
	if wake, err := q.push(TaskFunc(func() {})); wake || !errors.Is(err, net.ErrClosed) {
		t.Errorf("push after close: %t, %v", wake, err)
	}

	var abandoned tasks
	_, _ = abandoned.push(TaskFunc(func() { t.Error("an abandoned task ran") }))
	abandoned.abandon()
	for _, task := range abandoned.take() {
		task.Run()
	}
	if _, err := abandoned.push(TaskFunc(func() {})); !errors.Is(err, net.ErrClosed) {
		t.Errorf("push after abandon: %v", err)
	}
}
