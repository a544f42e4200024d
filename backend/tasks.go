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

// tasks is the queue by which other goroutines reach a loop. Its state says whether the loop sleeps, so that only the
// first task for a sleeping loop costs a system call.
type tasks struct {
	state atomic.Uint32
	n     atomic.Int32 // len(queue), to be looked at without the lock

	mu     sync.Mutex // guards queue and closed
	queue  []Task
	closed bool

	spare []Task // the loop's: the other half of the double buffer
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
	q.queue = append(q.queue, t)
	q.n.Store(int32(len(q.queue)))
	q.mu.Unlock()
	return q.state.CompareAndSwap(asleep, awake), nil
}

// take returns what was pushed since the last take. It stays valid until the next.
func (q *tasks) take() []Task {
	if q.n.Load() == 0 {
		return nil
	}
	clear(q.spare)
	q.mu.Lock()
	batch := q.queue
	q.queue = q.spare[:0]
	q.n.Store(0)
	q.mu.Unlock()
	q.spare = batch
	return batch
}

// empty tells whether there is nothing to take.
func (q *tasks) empty() bool { return q.n.Load() == 0 }

// abandon drops what was pushed and refuses more.
func (q *tasks) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue, q.closed = nil, true
	q.n.Store(0)
}

// close refuses further tasks, unless there are some that have not been taken yet.
func (q *tasks) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.closed = true
	}
	return q.closed
}
