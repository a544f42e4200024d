package backend

import (
	"net"
	"sync"
	"sync/atomic"
)

// Task is work for a loop's goroutine. A pointer that implements it is posted without an allocation.
type Task interface{ Run() }

// TaskFunc is a function as a Task.
type TaskFunc func()

// Run calls f.
func (f TaskFunc) Run() { f() }

// Func is a function of the program's as a Task: LoopConfig.Call calls it. Posting one allocates nothing.
type Func func()

// Run calls f.
func (f Func) Run() { f() }

// tasks is the queue by which other goroutines reach a loop. Its state says whether the loop sleeps, so that only the
// first task for a sleeping loop costs a system call.
type tasks struct {
	timed func(Task) Task // measures the lag of one of lagsEvery; nil: nobody asks
	state atomic.Uint32
	n     atomic.Int32 // len(queue), to be looked at without the lock

	mu     sync.Mutex // guards queue, pushed and closed
	queue  []Task
	pushed uint64
	closed bool

	batch []Task // the loop's: what was taken from the queue; batch[:at] have begun
	at    int
}

const (
	awake  uint32 = iota // the loop runs and will look at the queue before it sleeps
	asleep               // the loop sleeps, or is about to after one more look at the queue
)

// push appends t and reports whether the loop has to be woken.
func (q *tasks) push(t Task) (wake bool, err error) {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false, net.ErrClosed
	}
	if q.pushed++; q.pushed%lagsEvery == 1 && q.timed != nil {
		t = q.timed(t)
	}
	q.queue = append(q.queue, t)
	q.n.Store(int32(len(q.queue)))
	q.mu.Unlock()
	return q.state.CompareAndSwap(asleep, awake), nil
}

// take returns how many tasks next has. When it has none it gets what was pushed meanwhile.
func (q *tasks) take() int {
	if left := len(q.batch) - q.at; left > 0 {
		return left
	}
	if q.n.Load() == 0 {
		return 0
	}
	q.at = 0
	q.mu.Lock()
	q.batch, q.queue = q.queue, q.batch[:0]
	q.n.Store(0)
	q.mu.Unlock()
	return len(q.batch)
}

// next returns the next of the tasks that take has counted. It is not there a second time, whatever becomes of it.
func (q *tasks) next() Task {
	t := q.batch[q.at]
	q.batch[q.at] = nil
	q.at++
	return t
}

// empty reports whether there is nothing to take.
func (q *tasks) empty() bool { return q.at == len(q.batch) && q.n.Load() == 0 }

// close refuses further tasks. Those that were pushed before remain to be taken.
func (q *tasks) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}
