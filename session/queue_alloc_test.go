package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/backend"
)

// TestQueueOfManyPieces has a stream queue so many Buffers in each turn. Once it has done so, that allocates nothing.
func TestQueueOfManyPieces(t *testing.T) {
	for _, n := range []int{1, 3, 33, backend.MaxVector, 2 * backend.MaxVector} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			a := newActor(t, StreamOptions{})
			whole := a.engine.NewBuffer(make([]byte, 100))
			defer whole.Release()
			share := whole.Share()
			complete := true
			queueAll := func() {
				for range n {
					p, m := share.Bytes(), whole.memory
					m.refs.Add(1)
					a.s.mu.Lock()
					a.s.queueLocked(true).pushShared(p, m)
					a.s.mu.Unlock()
				}
				a.s.mu.Lock()
				complete = complete && a.s.tx.out.len() == 100*n
				for a.s.tx.out != nil {
					a.s.tookLocked(min(a.s.tx.out.len(), 6400))
				}
				a.s.mu.Unlock()
			}
			queueAll()
			assert.Zero(t, testing.AllocsPerRun(50, queueAll))
			assert.True(t, complete)
			share.Release()
			assert.EqualValues(t, 1, whole.memory.refs.Load(), "holders")
		})
	}
}

// TestQueueOfAnotherGoroutine has a goroutine that is not the loop's write what the kernel has no room for, again and again,
// while the loop sends it. Once it has done so, that allocates nothing.
func TestQueueOfAnotherGoroutine(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	a := newActor(t, StreamOptions{})
	writes, wrote, message := make(chan struct{}), make(chan error), make([]byte, 100)
	defer close(writes)
	go func() {
		for range writes {
			_, err := a.s.Write(message)
			wrote <- err
		}
	}()
	var failed error
	complete := true
	exchange := func() {
		a.f.room, a.f.out = 0, a.f.out[:0]
		writes <- struct{}{}
		if err := <-wrote; err != nil {
			failed = err
		}
		complete = complete && a.s.Queued() == len(message)
		a.f.room = plenty
		a.turn()
		complete = complete && a.s.Queued() == 0 && len(a.f.out) == len(message)
	}
	for range 3 * batchSize {
		exchange()
	}
	assert.Zero(t, testing.AllocsPerRun(100, exchange))
	assert.NoError(t, failed)
	assert.True(t, complete, "all was queued, and then sent")
	assert.LessOrEqual(t, len(a.s.loop.queues.few), 1, "queues that the loop has, and did not take")
}
