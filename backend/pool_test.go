package backend

import (
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestPoolSizes(t *testing.T) {
	var p Pool
	for n, want := range map[int]int{
		0: 512, 1: 512, 512: 512, 513: 1024, 4096: 4096, 4097: 8192, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1, 3 << 20: 3 << 20,
	} {
		b := p.Get(n)
		if len(b) != want || cap(b) != want {
			t.Errorf("Get(%d) has length %d and capacity %d, not %d", n, len(b), cap(b), want)
		}
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
		if got := p.Get(600); unsafe.SliceData(got) != unsafe.SliceData(want) || len(got) != 1024 {
			t.Errorf("%p with length %d, want %p", got, len(got), want)
		}
	}
	if got := p.Get(1000); unsafe.SliceData(got) == unsafe.SliceData(a) || unsafe.SliceData(got) == unsafe.SliceData(b) {
		t.Error("memory was lent twice")
	}
}

// TestPoolBound: it holds 8 MiB and no more, and nothing that is not its own size.
func TestPoolBound(t *testing.T) {
	p := &Pool{trimmed: true} // nobody trims it
	p.Put(make([]byte, 700))
	p.Put(make([]byte, 256))
	p.Put(make([]byte, 2<<20))
	p.Put(nil)
	if p.held != 0 {
		t.Errorf("%d bytes of foreign sizes are held", p.held)
	}
	for range 20 {
		p.Put(make([]byte, 1<<20))
	}
	if p.held != poolBound {
		t.Errorf("%d bytes are held, not %d", p.held, poolBound)
	}
	for range 20 {
		p.Get(1 << 20)
	}
	if p.held != 0 {
		t.Errorf("%d bytes are held after all were lent", p.held)
	}
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
				if b[0] != byte(i) || b[len(b)-1] != byte(i) {
					t.Error("memory was lent twice")
				}
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
	if want := 100 << 10; p.held != want {
		t.Errorf("%d bytes are held right after a burst, not %d", p.held, want)
	}
	b, c := p.Get(1000), p.Get(1000)
	p.Put(b)
	p.Put(c)
	if p.trim(); p.held != 2<<10 {
		t.Errorf("%d bytes are held although 2 KiB were used", p.held)
	}
	if got := p.Get(1000); unsafe.SliceData(got) != unsafe.SliceData(c) {
		t.Error("the memory that was used last was given back")
	}
	if p.trim() || p.held != 0 {
		t.Errorf("%d bytes are held that nobody uses", p.held)
	}
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
	for end := time.Now().Add(10 * time.Second); held() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are still held", held())
		}
		runtime.GC()
	}
	p.Put(make([]byte, 4096)) // which begins anew
	if !p.trimmed {
		t.Error("nobody trims the pool any longer")
	}
}
