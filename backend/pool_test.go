package backend

import (
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPoolSizes(t *testing.T) {
	var p Pool
	for n, want := range map[int]int{
		0: 512, 1: 512, 512: 512, 513: 1024, 4096: 4096, 4097: 8192, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1, 3 << 20: 3 << 20,
	} {
		b := p.Get(n)
		assert.Len(t, b, want, "of Get(%d)", n)
		assert.Equal(t, want, cap(b), "the capacity of Get(%d)", n)
		p.Put(b)
	}
}

// TestPoolReuse: the last one put back is the first to be used again, whatever its length was cut to.
func TestPoolReuse(t *testing.T) {
	p := &Pool{trimmed: true} // nobody trims it
	a, b := p.Get(1000), p.Get(1000)
	p.Put(a[:0])
	p.Put(b[:10])
	for _, want := range [][]byte{b, a} {
		got := p.Get(600)
		assert.Same(t, unsafe.SliceData(want), unsafe.SliceData(got))
		assert.Len(t, got, 1024)
	}
	got := unsafe.SliceData(p.Get(1000))
	assert.NotSame(t, unsafe.SliceData(a), got, "memory was lent twice")
	assert.NotSame(t, unsafe.SliceData(b), got, "memory was lent twice")
}

// TestPoolBound: it holds 8 MiB and no more, and nothing that is not its own size.
func TestPoolBound(t *testing.T) {
	p := &Pool{trimmed: true} // nobody trims it
	p.Put(make([]byte, 700))
	p.Put(make([]byte, 256))
	p.Put(make([]byte, 2<<20))
	p.Put(nil)
	assert.Zero(t, p.held, "bytes of foreign sizes that are held")
	for range 20 {
		p.Put(make([]byte, 1<<20))
	}
	assert.Equal(t, poolBound, p.held, "bytes that are held")
	for range 20 {
		p.Get(1 << 20)
	}
	assert.Zero(t, p.held, "bytes that are held after all were lent")
}

func TestPoolConcurrently(t *testing.T) {
	var p Pool
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				b := p.Get(1 + n*37%5000)
				b[0], b[len(b)-1] = byte(i), byte(i)
				if n%16 == 0 { // hold it a while
					c := p.Get(len(b))
					c[0] = 0xff
					p.Put(c)
				}
				assert.Equal(t, [2]byte{byte(i), byte(i)}, [2]byte{b[0], b[len(b)-1]}, "memory was lent twice")
				p.Put(b)
			}
		})
	}
	wg.Wait()
}

// TestPoolAfterBurst: what a burst has left there is given back, and what is in use since then is not.
func TestPoolAfterBurst(t *testing.T) {
	p := &Pool{trimmed: true} // nobody else trims it
	var burst [][]byte
	for range 100 {
		burst = append(burst, p.Get(1000))
	}
	for _, b := range burst {
		p.Put(b)
	}
	p.trim()
	assert.Equal(t, 100<<10, p.held, "bytes that are held right after a burst")
	b, c := p.Get(1000), p.Get(1000)
	p.Put(b)
	p.Put(c)
	p.trim()
	assert.Equal(t, 2<<10, p.held, "bytes that are held when 2 KiB were used")
	assert.Same(t, unsafe.SliceData(c), unsafe.SliceData(p.Get(1000)), "the memory that was used last was given back")
	assert.False(t, p.trim())
	assert.Zero(t, p.held, "bytes that are held and nobody uses")
}

// TestPoolIsTrimmed has garbage collections trim a pool, whether anybody uses it or not.
func TestPoolIsTrimmed(t *testing.T) {
	p := new(Pool)
	p.Put(make([]byte, 4096))
	held := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.held
	}
	for end := time.Now().Add(10 * time.Second); held() > 0; time.Sleep(time.Millisecond) { // finalizers run by themselves
		require.True(t, time.Now().Before(end), "%d bytes are still held", held())
		runtime.GC()
	}
	p.Put(make([]byte, 4096)) // which begins anew
	assert.True(t, p.trimmed, "nobody trims the pool any longer")
}
