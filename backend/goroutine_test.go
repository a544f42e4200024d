package backend

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
)

// number is the goroutine's, as the runtime prints it.
func number() string {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	return string(fields[1])
}

// TestGoroutine compares with the runtime's own numbers: two goroutines that live at the same time differ, and one is
// the same wherever it runs and however its stack has moved.
func TestGoroutine(t *testing.T) {
	const many = 500
	var mu sync.Mutex
	seen := map[uintptr]string{}
	var started, done sync.WaitGroup
	release := make(chan struct{})
	for range many {
		started.Add(1)
		done.Go(func() {
			g, n := goroutine(), number()
			mu.Lock()
			if other, ok := seen[g]; ok || g == 0 {
				t.Errorf("goroutines %s and %s are both %#x", other, n, g)
			}
			seen[g] = n
			mu.Unlock()
			started.Done()
			<-release // so that all of them live at the same time
			for range 10 {
				runtime.Gosched()
			}
			deep(t, 100, g)
			if now := goroutine(); now != g {
				t.Errorf("goroutine %s was %#x and is %#x", n, g, now)
			}
		})
	}
	started.Wait()
	close(release)
	done.Wait()
	if len(seen) != many {
		t.Errorf("%d numbers of %d goroutines", len(seen), many)
	}
}

// deep makes the stack grow, and so move.
func deep(t *testing.T, n int, want uintptr) byte {
	var frame [1024]byte
	frame[n] = byte(n)
	if n > 0 {
		frame[0] = deep(t, n-1, want)
	}
	if g := goroutine(); g != want {
		t.Errorf("it was %#x and is %#x, with a stack that has grown", want, g)
	}
	return frame[n]
}

func BenchmarkGoroutine(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		goroutine()
	}
}
