package session

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// counted is memory that counts how often it was given back.
func counted() (m *shared, back *int) {
	back = new(int)
	m = &shared{release: func() { *back++ }}
	m.refs.Store(1)
	return m, back
}

// TestShareGoesBackOnce releases Buffers of the same bytes in every order: the memory goes back with the last.
func TestShareGoesBackOnce(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		p := []byte("message")
		m, back := counted()
		first := m.buffer(p)
		second := first.Share()
		all := []*Buffer{first, second, second.Share()}
		for i, k := range order {
			require.Zero(t, *back, "with %d holders left", 3-i)
			require.Equal(t, "message", string(all[k].Bytes()))
			all[k].Release()
			all[k].Release() // which does nothing
			require.Nil(t, all[k].Bytes())
		}
		require.Equal(t, 1, *back)
	}
}

// TestShareOfAPart shares a part of memory, of which another part has another holder.
func TestShareOfAPart(t *testing.T) {
	root := []byte("front and back")
	m, back := counted()
	m.refs.Add(1)
	front, rest := m.buffer(root[:5]), m.buffer(root[9:])
	share := front.Share()
	front.Release()
	require.Equal(t, "front", string(share.Bytes()), "poison would be seen here")
	share.Release()
	require.Zero(t, *back)
	require.Equal(t, "back", string(rest.Bytes())[1:])
	rest.Release()
	require.Equal(t, 1, *back)
	if drivertest.Poisoned(t) {
		assert.True(t, drivertest.IsPoison(root[:5]))
	}
}

// TestShareOfNothing shares what was released or written.
func TestShareOfNothing(t *testing.T) {
	m, back := counted()
	b := m.buffer([]byte("x"))
	b.Release()
	share := b.Share()
	require.Empty(t, share.Bytes())
	share.Release()
	require.Equal(t, 1, *back)
	a := newActor(t, StreamOptions{})
	require.Error(t, a.s.WriteBuffer(share))
}

// TestShareInQueues has several queues send the same bytes in pieces: none of them touches what another has still to send.
func TestShareInQueues(t *testing.T) {
	pool := new(backend.Pool)
	mem := pool.Get(512)
	m := newShared(pool, mem)
	m.common = true
	b := m.buffer(mem[:copy(mem, "0123456789")])
	var queues [3]queue
	for i := range queues {
		queues[i].pool = pool
		share := b.Share()
		queues[i].pushShared(share.bytes, share.memory)
	}
	b.Release()
	queues[0].advance(4)
	require.Equal(t, "456789", string(queues[0].vector(nil)[0]))
	queues[0].advance(6)
	queues[1].advance(9)
	queues[1].drop()
	require.Equal(t, "0123456789", string(queues[2].vector(nil)[0]))
	require.EqualValues(t, 1, m.refs.Load())
	queues[2].advance(10)
	require.Zero(t, m.refs.Load())
	require.Same(t, &mem[0], &pool.Get(512)[0], "the memory is in the pool again")
}

// TestShareConcurrently has goroutines share and release at the same time.
func TestShareConcurrently(t *testing.T) {
	for range 100 {
		m, back := counted()
		b := m.buffer([]byte("message"))
		var all sync.WaitGroup
		for range 8 {
			share := b.Share()
			all.Go(func() {
				for range 100 {
					next := share.Share()
					share.Release()
					share = next
				}
				share.Release()
			})
		}
		b.Release()
		all.Wait()
		require.Equal(t, 1, *back)
	}
}

// TestFanOutAllocatesNothing writes a shared Buffer to a stream.
func TestFanOutAllocatesNothing(t *testing.T) {
	a := newActor(t, StreamOptions{})
	b := a.engine.NewBuffer(make([]byte, 100))
	defer b.Release()
	write := func() {
		if err := a.s.WriteBuffer(b.Share()); err != nil { // an assertion would allocate
			t.Error(err)
		}
		a.s.mu.Lock()
		a.s.tx.out.drop()
		a.s.tx.accepted = a.s.tx.sent
		a.s.mu.Unlock()
	}
	write()
	before := b.memory.refs.Load()
	assert.Zero(t, testing.AllocsPerRun(100, write))
	assert.Equal(t, before, b.memory.refs.Load())
}
