//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem"
)

// soak is one run, on one backend.
type soak struct {
	figures
	name    string // of the backend
	backend tandem.Options
	seed    uint64
	length  time.Duration
	began   time.Time
	page    string // where the page goes; "": standard output
	dir     string // for sockets and stacks
	watch   *watchdog
	report  func(what string) // of failures, in a peer process
	exit    func(status int)  // of a run that hangs

	memory    memory
	weather   sync.Mutex // held while descriptors are short, and while a Transport begins or ends
	now       atomic.Pointer[life]
	shortages atomic.Uint64 // odd during one
	chances   atomic.Uint64
	verified  atomic.Uint64 // bytes
	lives     atomic.Uint64
	leaked    atomic.Uint64
	wrongs    atomic.Uint64
	life      atomic.Int64 // number of the present one
	over      atomic.Bool  // SIGINT
	calmed    atomic.Bool  // the weather ends

	mu       sync.Mutex // guards what follows
	failures []string
	more     int // failures that are not kept
	most     struct {
		rss, files, goroutines, maps int
		turn, callback               time.Duration
	}
}

// failf notes a failure.
func (s *soak) failf(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if s.report != nil {
		return // a peer process only tells of wrong bytes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) >= 200 {
		s.more++
		return
	}
	at := time.Since(s.began).Round(time.Millisecond)
	what = fmt.Sprintf("life %d, after %v, seed %d: %s", s.life.Load(), at, s.seed, what)
	s.failures = append(s.failures, what)
	_, _ = fmt.Fprintf(os.Stderr, "%s: FAILURE: %s\n", s.name, what)
}

// wrong notes wrong bytes.
func (s *soak) wrong(where string, err error) {
	s.wrongs.Add(1)
	if s.report != nil {
		s.report(fmt.Sprintf("%s: %v", where, err))
		return
	}
	s.failf("%s: %v", where, err)
}

// hang ends the run: something has not come.
func (s *soak) hang(what string, stacks []byte) {
	s.dump("hang", append(stacks, sockets()...))
	s.failf("%s", what)
	s.write()
	s.exit(1)
}

// dump writes stacks to a file beside the page.
func (s *soak) dump(name string, stacks []byte) {
	at := filepath.Join(s.dir, fmt.Sprintf("%s-%s-%d.txt", name, s.name, s.seed))
	if s.page != "" {
		at = filepath.Join(filepath.Dir(s.page), filepath.Base(at))
	}
	if err := os.WriteFile(at, stacks, 0o644); err == nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: stacks are in %s\n", s.name, at)
	}
}

// run runs lives until the time is over, and reports whether all is well.
func (s *soak) run() bool {
	s.began = time.Now()
	s.watch = newWatchdog(s.hang)
	r := rand.New(rand.NewPCG(s.seed, 0))
	startPoller()
	s.memory.aborts() // opens its file
	s.blow(rand.New(rand.NewPCG(r.Uint64(), 7)))
	go s.sample()
	time.Sleep(50 * time.Millisecond) // all of these are there before anything is counted
	for number := 1; number == 1 || time.Since(s.began) < s.length && !s.over.Load(); number++ {
		s.life.Store(int64(number))
		left := max(s.length-time.Since(s.began), 500*time.Millisecond)
		s.live(number, rand.New(rand.NewPCG(s.seed, uint64(number))), min(left, time.Duration(300+r.IntN(6000))*time.Millisecond))
	}
	s.write()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failures) == 0
}

// inLife says which life is at its height, or nil.
func (s *soak) inLife(l *life) {
	s.weather.Lock()
	s.now.Store(l)
	s.weather.Unlock()
}

// sample looks at the process, and writes the page every minute.
func (s *soak) sample() {
	for n := 1; !s.calmed.Load(); n++ {
		time.Sleep(250 * time.Millisecond)
		c := takeCensus()
		s.mu.Lock()
		s.most.files = max(s.most.files, len(c.files))
		s.most.goroutines = max(s.most.goroutines, c.goroutines)
		s.most.maps = max(s.most.maps, c.maps)
		s.mu.Unlock()
		if l := s.now.Load(); l != nil {
			l.grows()
		}
		if n%240 == 0 {
			s.write()
		}
	}
}

// grows checks that the figures of a Transport that runs only grow.
func (l *life) grows() {
	st := l.t.Stats()
	before := l.before.Swap(&st)
	if before == nil {
		return
	}
	for i, one := range st.Loops {
		was := before.Loops[i]
		if one.Opened < was.Opened || one.Closed < was.Closed || one.BytesIn < was.BytesIn || one.BytesOut < was.BytesOut ||
			one.BytesDelivered < was.BytesDelivered || one.Turns < was.Turns || one.LongestTurn < was.LongestTurn {
			l.failf("Stats of loop %d fell from %+v to %+v", i, was, one)
		}
	}
}

// tally adds the figures of a Transport that has ended.
func (s *soak) tally(st tandem.Stats) {
	for _, f := range []row{
		{"streams opened", st.Opened}, {"connections accepted", st.Accepts}, {"accepts that failed", st.AcceptErrors},
		{"bytes received", st.BytesIn}, {"bytes dropped unread", st.BytesDropped}, {"bytes sent", st.BytesOut},
		{"turns", st.Turns}, {"system calls", st.SystemCalls}, {"requests to io_uring", st.Submissions},
		{"completions", st.Completions}, {"receives without a buffer (ENOBUFS)", st.NoBuffers},
		{"overflows of the completion queue", st.Overflows}, {"wake-ups", st.WakeUps}, {"timers fired", st.Timers},
		{"TLS handshakes", st.TLSHandshakes}, {"TLS handshakes that failed", st.TLSHandshakeErrors},
		{"panics caught", st.Panics}, {"direct writes", st.DirectWrites},
	} {
		s.add(system, f.kind, f.n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most.turn = max(s.most.turn, st.LongestTurn)
	s.most.callback = max(s.most.callback, st.LongestCallback)
}

// logCounter is a slog.Handler that counts messages.
type logCounter struct{ s *soak }

func (*logCounter) Enabled(context.Context, slog.Level) bool { return true }

func (h *logCounter) Handle(_ context.Context, r slog.Record) error {
	h.s.count(logged, strings.ToLower(r.Level.String())+": "+r.Message)
	return nil
}

func (h *logCounter) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *logCounter) WithGroup(string) slog.Handler      { return h }

// heap is what is in use after a collection.
func heap() (inUse uint64, cycles uint32) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.NumGC
}
