//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// watchdog fails the run when something that must come does not. It counts seconds in which it ran itself, so that a
// process that the machine neglects is not blamed for it.
type watchdog struct {
	mu      sync.Mutex
	waiting map[*waiting]struct{}
	hang    func(what string, stacks []byte)
}

// waiting is one thing that must come.
type waiting struct {
	of   *watchdog
	what string
	left int // seconds
}

// bound is how many seconds anything may take.
const bound = 90

func newWatchdog(hang func(what string, stacks []byte)) *watchdog {
	w := &watchdog{waiting: map[*waiting]struct{}{}, hang: hang}
	go func() {
		for {
			time.Sleep(time.Second)
			w.tick()
		}
	}()
	return w
}

func (w *watchdog) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.waiting {
		if one.left--; one.left == 0 {
			w.hang(fmt.Sprintf("after %d s there is still no %s", bound, one.what), stacks())
		}
	}
}

// expect says that something must come. Its result is called when it has.
func (w *watchdog) expect(format string, args ...any) (came func()) {
	one := &waiting{of: w, what: fmt.Sprintf(format, args...), left: bound}
	w.mu.Lock()
	w.waiting[one] = struct{}{}
	w.mu.Unlock()
	return func() {
		w.mu.Lock()
		delete(w.waiting, one)
		w.mu.Unlock()
	}
}

// stacks are those of all goroutines.
func stacks() []byte {
	b := make([]byte, 16<<20)
	return b[:runtime.Stack(b, true)]
}

// sockets are the kernel's tables of them: also of connections that a process has closed and the kernel still sends, with
// what is queued and how long the present timer has to run; proc_pid_net(5).
func sockets() (all []byte) {
	for _, name := range []string{"tcp", "unix"} {
		table, _ := os.ReadFile("/proc/net/" + name)
		all = append(append(all, "\n/proc/net/"+name+"\n"...), table...)
	}
	return all
}
