//go:build linux

package backend_test

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tandem-io/tandem/backend"
	epoll "github.com/tandem-io/tandem/backend_epoll"
	uring "github.com/tandem-io/tandem/backend_uring"
)

// drivers are all ways in which a loop sleeps and is woken.
var drivers = map[string]func() (backend.Driver, error){
	"epoll":         func() (backend.Driver, error) { return epoll.New(epoll.Config{}) },
	"epoll-thread":  func() (backend.Driver, error) { return epoll.New(epoll.Config{LockedThread: true}) },
	"uring":         func() (backend.Driver, error) { return newUring(uring.Config{}) },
	"uring-alone":   func() (backend.Driver, error) { return newUring(uring.Config{OwnCPU: true}) },
	"uring-eventfd": func() (backend.Driver, error) { return newUring(uring.Config{EventFD: true}) },
	"uring-coop":    func() (backend.Driver, error) { return newUring(uring.Config{Rung: "coop"}) },
	"uring-plain":   func() (backend.Driver, error) { return newUring(uring.Config{Rung: "plain"}) },
	"uring-tiny":    func() (backend.Driver, error) { return newUring(uring.Config{Entries: 1, CompletionEntries: 2}) },
	"uring-tiny-efd": func() (backend.Driver, error) {
		return newUring(uring.Config{Entries: 1, CompletionEntries: 2, EventFD: true})
	},
}

func newUring(c uring.Config) (backend.Driver, error) {
	c, err := uring.Probe(c)
	if err != nil {
		return nil, err
	}
	return uring.New(c)
}

// forEachDriver runs a test on a loop, on each driver, with and without spinning before it sleeps.
func forEachDriver(t *testing.T, test func(*testing.T, *backend.Loop)) {
	for name, open := range drivers {
		for how, spin := range map[string]time.Duration{"": 0, "-spin": 20 * time.Microsecond} {
			t.Run(name+how, func(t *testing.T) {
				d, err := open()
				if errors.Is(err, errors.ErrUnsupported) {
					t.Skipf("NOT TESTED: %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				test(t, backend.NewLoop(backend.LoopConfig{Driver: d, Spin: spin, CPU: -1}))
			})
		}
	}
}

// start runs the loop; the function that it returns stops it and waits.
func start(t *testing.T, l *backend.Loop) (stop func()) {
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	return func() {
		t.Helper()
		_ = l.Post(backend.TaskFunc(l.Stop))
		if err := <-ended; err != nil {
			t.Errorf("the loop ended with %v", err)
		}
		if err := l.Post(backend.TaskFunc(func() {})); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Post after the end: %v", err)
		}
		l.Driver.Wake() // does nothing
	}
}

// TestLoopWakeUps has many goroutines post to a loop that sleeps whenever it can. A wake-up that is lost ends the test
// by its time limit: nothing else would wake the loop.
func TestLoopWakeUps(t *testing.T) {
	const goroutines, posts = 100, 30
	forEachDriver(t, func(t *testing.T, l *backend.Loop) {
		stop := start(t, l)
		var last [goroutines]int // the loop's
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				ran := make(chan struct{}, 1)
				for i := range posts {
					err := l.Post(backend.TaskFunc(func() {
						if last[g] != i {
							t.Errorf("post %d of goroutine %d ran as number %d", i, g, last[g])
						}
						last[g]++
						ran <- struct{}{}
					}))
					if err != nil {
						t.Errorf("post: %v", err)
						return
					}
					<-ran
				}
			})
		}
		wg.Wait()
		ran := make(chan struct{}) // one alone: the loop sleeps before each
		for range 200 {
			_ = l.Post(backend.TaskFunc(func() { ran <- struct{}{} }))
			<-ran
		}
		stop()
		for g, n := range last {
			if n != posts {
				t.Errorf("%d posts of goroutine %d ran", n, g)
			}
		}
	})
}

func TestLoopHere(t *testing.T) {
	forEachDriver(t, func(t *testing.T, l *backend.Loop) {
		if l.OnLoop() || l.Bound() {
			t.Error("Here, or Bound, before the loop runs")
		}
		stop := start(t, l)
		here := make(chan bool)
		_ = l.Post(backend.TaskFunc(func() { here <- l.OnLoop() && l.Bound() }))
		if !<-here {
			t.Error("not Here in a task")
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if l.OnLoop() {
					t.Error("Here on another goroutine")
				}
			})
		}
		wg.Wait()
		stop()
		for range 50 { // the goroutine's memory may be another's by now
			wg.Go(func() {
				if l.OnLoop() {
					t.Error("Here after the end")
				}
			})
		}
		wg.Wait()
	})
}

// TestLoopTimers: a sleep ends with the next timer, also one that was started from outside of a turn.
func TestLoopTimers(t *testing.T) {
	forEachDriver(t, func(t *testing.T, l *backend.Loop) {
		stop := start(t, l)
		fired := make(chan int64, 3)
		due := make(chan int64, 3)
		timers := make([]backend.Timer, 3)
		_ = l.Post(backend.TaskFunc(func() {
			for i, d := range []time.Duration{5 * time.Millisecond, time.Millisecond, 0} {
				timers[i].Fire = func() { fired <- l.Clock() }
				due <- l.Clock() + int64(d)
				l.StartTimer(&timers[i], d)
			}
		}))
		var want [3]int64
		for i := range want {
			want[2-i] = <-due
		}
		for i := range want {
			if at := <-fired; at < want[i] {
				t.Errorf("timer %d fired %v too early", i, time.Duration(want[i]-at))
			}
		}
		stop()
	})
}

// TestLoopEndRunsWhatWasPosted: nothing that Post accepted is forgotten, whenever it came.
func TestLoopEndRunsWhatWasPosted(t *testing.T) {
	forEachDriver(t, func(t *testing.T, l *backend.Loop) {
		stop := start(t, l)
		var wg sync.WaitGroup
		var accepted, ran [10]int // ran is the loop's
		for g := range accepted {
			wg.Go(func() {
				for l.Post(backend.TaskFunc(func() { ran[g]++ })) == nil {
					accepted[g]++
					runtime.Gosched()
				}
			})
		}
		time.Sleep(time.Millisecond)
		stop()
		wg.Wait()
		if accepted != ran {
			t.Errorf("accepted were %v, and %v ran", accepted, ran)
		}
	})
}
