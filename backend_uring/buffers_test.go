//go:build linux

package uring

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// keeper keeps every buffer that the driver lends to o.
type keeper struct {
	o        *drivertest.Recorder
	give     []func()
	memory   [][]byte
	refusals int
}

func keepAll(d *Driver, o *drivertest.Recorder) *keeper {
	k := &keeper{o: o}
	o.OnBytes = func(p []byte) {
		o.Got = append(o.Got, p...)
		if give := d.Keep(); give != nil {
			k.give, k.memory = append(k.give, give), append(k.memory, p)
		} else {
			k.refusals++
		}
	}
	return k
}

// giveBack gives n buffers back, those that were kept first.
func (k *keeper) giveBack(n int) {
	for _, give := range k.give[:n] {
		give()
	}
	k.give, k.memory = k.give[n:], k.memory[n:]
}

// A retired slab becomes live again when the buffers run out before it is freed.
func TestRetiredSlabComesBack(t *testing.T) {
	const n, size = 2, 64
	forEachRung(t, Config{Buffers: n, BufferSize: size}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		kept := map[*byte]func(){}
		o.OnBytes = func(p []byte) {
			o.Got = append(o.Got, p...)
			if k := d.Keep(); k != nil {
				kept[&p[0]] = k
			}
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 2*n*size/16)
		drivertest.Send(t, peer, want)
		until(t, d, func() bool { return len(o.Got) == len(want) })
		require.Len(t, d.buffers.slabs, 2)
		require.Len(t, kept, 2*n)
		d.buffers.live = 1
		back := &d.buffers.memory(n)[0] // of the retired slab
		kept[back]()
		delete(kept, back)
		d.buffers.collect()
		require.Zero(t, d.buffers.free, "the kernel got a buffer of a retired slab")
		more := []byte("more")
		drivertest.Send(t, peer, more)
		until(t, d, func() bool { return bytes.Equal(o.Got, append(want, more...)) })
		assert.Equal(t, 2, d.buffers.live)
		assert.Len(t, d.buffers.slabs, 2)
		d.buffers.live = 1
		kept[back]()
		delete(kept, back)
		d.buffers.collect()
		require.Len(t, d.buffers.slabs, 2, "a slab is freed of which a buffer is out")
		d.buffers.reactivate()
		for _, k := range kept {
			k()
		}
		d.buffers.collect()
		release(t, d, o)
	})
}

// When all buffers are kept more are added, and they are freed when they are not needed any longer.
func TestBuffersGrowAndShrink(t *testing.T) {
	const n, size = 2, 64
	forEachRung(t, Config{Buffers: n, BufferSize: size}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		k := keepAll(d, o)
		want := bytes.Repeat([]byte("0123456789abcdef"), 2*n*growth*size/16)
		drivertest.Send(t, peer, want)
		until(t, d, func() bool { return len(o.Got) == len(want) })
		assert.True(t, bytes.Equal(want, o.Got), "the bytes differ")
		assert.GreaterOrEqual(t, len(d.buffers.slabs), 2)
		assert.LessOrEqual(t, len(d.buffers.slabs), growth)
		at := 0
		for _, p := range k.memory {
			i := bytes.Index(want[at:], p)
			require.GreaterOrEqual(t, i, 0, "memory that was kept has changed")
			at += i
		}
		k.giveBack(len(k.give))
		o.OnBytes = nil
		d.buffers.quietTime = time.Millisecond
		until(t, d, func() bool { return len(d.buffers.slabs) == 1 && d.flush.out == 0 })
		assert.Equal(t, n, d.buffers.free, "after a long quiet time")
		o.Got = nil
		drivertest.Send(t, peer, want[:300])
		until(t, d, func() bool { return bytes.Equal(o.Got, want[:300]) })
		release(t, d, o)
	})
}

// At most half of all buffers that there can be are kept at a time.
func TestKeepRefuses(t *testing.T) {
	const n, size = 4, 32
	forEachRung(t, Config{Buffers: n, BufferSize: size}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		k := keepAll(d, o)
		receive := func() {
			t.Helper()
			o.Got = nil
			drivertest.Send(t, peer, make([]byte, 2*n*growth*size))
			until(t, d, func() bool { return len(o.Got) == 2*n*growth*size })
		}
		receive()
		assert.Len(t, k.give, n*growth/2)
		assert.NotZero(t, k.refusals)
		assert.Equal(t, len(k.give), d.Outstanding().Buffers)
		k.giveBack(3)
		receive()
		assert.Len(t, k.give, n*growth/2, "after some were given back")
		k.giveBack(len(k.give))
		release(t, d, o)
	})
}

// A buffer that comes back ends a sleep: sockets may be waiting for it, and the memory of its slab may be free now.
func TestBufferThatComesBackWakes(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		k := keepAll(d, o)
		for range 2 {
			drivertest.Send(t, peer, []byte("x"))
			until(t, d, func() bool { return len(k.give) == 1 })
			polls(t, d, 5*time.Millisecond)
			k.giveBack(1)
			require.Less(t, drivertest.Sleep(t, d), patience, "nothing wakes the driver")
		}
		release(t, d, o)
	})
}

// Memory that was kept outlives the driver. Its owner frees it.
func TestCloseWithBufferOut(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		k := keepAll(d, o)
		drivertest.Send(t, peer, []byte("still here"))
		until(t, d, func() bool { return len(k.give) == 1 })
		require.NoError(t, d.Close()) // with a request in flight
		assert.Equal(t, "still here", string(k.memory[0]))
		assert.NotEmpty(t, d.buffers.slabs, "the memory is unmapped")
		k.giveBack(1)
		assert.Empty(t, d.buffers.slabs, "the memory stays mapped")
		d.Wake() // does nothing
	})
}

// A burst of many small messages adds buffers. Their memory is freed even if nothing happens any longer.
func TestSleepingLoopFreesBuffers(t *testing.T) {
	const n = 64
	forEachRung(t, Config{Buffers: 8, BufferSize: 4 << 10}, func(t *testing.T, d *Driver) {
		d.buffers.quietTime = 5 * time.Millisecond
		var all []*drivertest.Recorder
		var peers []int
		for range n {
			o, peer := attach(t, d)
			all, peers = append(all, o), append(peers, peer)
		}
		burst := func() {
			for i, o := range all {
				o.Got = nil
				drivertest.Send(t, peers[i], []byte("burst"))
			}
			for _, o := range all {
				until(t, d, func() bool { return string(o.Got) == "burst" })
			}
		}
		for range 4 {
			burst()
		}
		require.Greater(t, len(d.buffers.slabs), 1, "nothing is tested")
		for began := time.Now(); len(d.buffers.slabs) > 1; {
			drivertest.Sleep(t, d)
			require.Less(t, time.Since(began), patience, "it sleeps on, with %d slabs", len(d.buffers.slabs))
			inFlight := 0
			d.All(func(s *backend.Socket) { inFlight += int(s.InFlight) })
			require.Equal(t, inFlight, d.Outstanding().Requests, "requests in flight for sockets")
		}
		until(t, d, func() bool { return d.flush.out == 0 })
		assert.False(t, d.flush.file.Valid(), "the file to read from is open")
		assert.Equal(t, d.buffers.perSlab, d.buffers.free)
		burst()
		release(t, d, all...)
	})
}

// A slab is not freed while some of it is kept, and the loop does not spin because of that.
func TestKeptBuffersStay(t *testing.T) {
	forEachRung(t, Config{Buffers: 8, BufferSize: 64}, func(t *testing.T, d *Driver) {
		d.buffers.quietTime = time.Millisecond
		o, peer := attach(t, d)
		k := keepAll(d, o)
		drivertest.Send(t, peer, make([]byte, 12*64))
		until(t, d, func() bool { return len(o.Got) == 12*64 })
		require.Len(t, k.give, 12)
		require.Len(t, d.buffers.slabs, 2)
		k.giveBack(8) // the first slab
		polls(t, d, 20*time.Millisecond)
		d.buffers.quietTime = 20 * time.Millisecond
		assert.LessOrEqual(t, polls(t, d, 100*time.Millisecond), 15, "turns in which nothing can be freed")
		for _, p := range k.memory {
			p[0]++ // a fault, if it were unmapped
		}
		k.giveBack(4)
		until(t, d, func() bool { return len(d.buffers.slabs) == 1 && d.flush.out == 0 })
		release(t, d, o)
	})
}

// A loan belongs to its delivery: a nested one leaves the outer one as it was, and between deliveries there is none.
func TestLoansNest(t *testing.T) {
	forEachRung(t, Config{Buffers: 4, BufferSize: 64}, func(t *testing.T, d *Driver) {
		assert.Nil(t, d.Keep(), "outside of a delivery")
		b := d.buffers
		out := func() int { return b.perSlab - b.free }
		b.taken(0)
		b.taken(1)
		_, none := b.lend(0, 10)
		_, first := b.lend(1, 10)
		b.giveBack(first) // not kept
		assert.Equal(t, 1, out())
		keep := d.Keep()
		require.NotNil(t, keep)
		assert.Nil(t, d.Keep(), "a second time")
		b.giveBack(none)
		assert.Equal(t, 1, out(), "the outer one is kept")
		assert.Nil(t, d.Keep(), "after the delivery")
		keep()
		b.collect()
		assert.Zero(t, out())
	})
}
