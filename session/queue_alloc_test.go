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
