package modeltest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// world is one run of a Program. One goroutine at a time uses it; those of connections that were detached have a lock.
type world struct {
	p       Program
	k       *simulated.Kernel
	e       *session.Engine
	drivers []simulated.Driver

	ends      []end // by the number of who sends, less 1
	streams   []*stream
	of        map[*session.Stream]*stream
	peers     []*peer
	listeners []*listener
	targets   []*target
	conns     []*conn
	async     []*asyncCall

	pc        int    // of the next operation
	waited    int    // turns for its place
	turn      int    // of the test: calls of step
	inside    []int  // numbers of streams whose callbacks run now, by loop; 0: none
	current   int    // the loop whose callback runs now; -1: none
	panics    uint64 // that callbacks have had
	opened    uint64 // OnOpen
	failing   map[int]error
	down      bool // the engine was told to end
	downSince time.Duration
	aborted   bool // and to wait for nobody
	dead      bool // no loop is left
	taken     []*taken
	healed    bool // the kernel behaves from now on
	shortage  bool // resources were short
	trouble   bool // connections may fail without anybody's doing
	stalls    bool // the clock may jump
	inFlight  bool // an operation runs on another goroutine, or another loop goes on
	random    *rand.Rand
	tickets   tls.ClientSessionCache
	atRest    int // bytes that had moved when the run seemed to have settled
	restSince time.Duration
	last      string
	err       error
	shutdown  error
}

// end is who sends bytes: a peer, or a stream.
type end interface {
	sent() int      // bytes that it was asked to send, and may have
	troubled() bool // its connection may fail, because of what was done to it
	String() string
}

// run runs a program, and returns the first rule that it broke.
func run(t *testing.T, p Program) error {
	w, err := runWorld(t, p)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n(after %s, in operation %d, turn %d)", err, w.last, w.pc, w.turn)
}

func runWorld(t *testing.T, p Program) (w *world, err error) {
	w = &world{
		p: p, of: map[*session.Stream]*stream{}, failing: map[int]error{}, current: -1, random: rand.New(rand.NewPCG(p.Seed, 1)),
	}
	defer func() {
		if v := recover(); v != nil { // a deadlock, among others because a run that has failed is left where it is
			err = w.err
			if err == nil {
				err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}
	}()
	synctest.Test(t, func(*testing.T) { w.main() })
	return w, w.err
}

func (w *world) main() {
	defer func() {
		if v := recover(); v != nil {
			w.failf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	if w.setUp(); w.err != nil {
		return
	}
	for w.pc < w.ready() && w.err == nil {
		w.attend()
	}
	w.finish()
}

// failf notes the first rule that was broken.
func (w *world) failf(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: %w", w.now(), fmt.Errorf(format, args...))
	}
}

func (w *world) now() time.Duration { return w.k.Now() }

func (w *world) setUp() {
	w.k = simulated.New(w.p.config())
	opts, err := w.p.options().Complete()
	if err != nil {
		w.failf("options: %w", err)
		return
	}
	var drivers []backend.Driver
	for range max(w.p.Loops, 1) {
		d := w.k.NewDriver(w.p.Completions)
		w.drivers = append(w.drivers, d)
		drivers = append(drivers, d)
	}
	w.inside = make([]int, len(drivers))
	config := session.Config{
		Drivers: drivers, CallerDriven: !w.p.stepped(), Logger: slog.New(slog.DiscardHandler), Clock: w.k.Clock(), Stream: *opts,
		MemoryLimit: w.p.Memory, Balance: session.Balance(w.p.Balance),
	}
	if w.p.stepped() {
		w.start(config)
	} else {
		w.e, err = session.New(config)
	}
	if err != nil || w.err != nil {
		w.failf("New: %v", err)
		return
	}
	w.setFaults(w.p.Faults)
	w.k.Interrupt(w.interrupted)
}

// start starts an engine whose loops wait for steps.
func (w *world) start(config session.Config) {
	done := make(chan struct{})
	var err error
	go func() {
		w.e, err = session.New(config)
		close(done)
	}()
	for range 100 {
		synctest.Wait()
		select {
		case <-done:
			if err != nil {
				w.failf("New: %w", err)
			}
			return
		default:
			w.k.Step()
		}
	}
	w.failf("the loops do not start")
}

func (w *world) setFaults(i int) {
	f := kernels[i%len(kernels)]
	w.k.SetFaults(f)
	w.trouble = w.trouble || f.Reset > 0
	w.stalls = w.stalls || f.Stall > 0
}

// attend performs the next operation, or a turn while its place has not come.
func (w *world) attend() {
	o := w.p.Ops[w.pc]
	switch {
	case o.In == Between:
		w.perform(o)
	case w.waited >= 4: // its place does not come
		if o.In == Other {
			w.elsewhere(o)
		} else {
			w.perform(o)
		}
	case w.waited == 0 && (o.In == Posted || o.In == Timer || o.In == Notified):
		w.waited++
		w.begin(o)
	default:
		w.waited++
		w.step(10 * time.Millisecond)
	}
}

// perform performs the next operation, here.
func (w *world) perform(o Op) {
	if w.pc >= w.ready() || w.err != nil {
		return
	}
	w.pc++
	w.waited = 0
	w.last = o.String()
	noteOp(w, o)
	operations[o.Do](w, o)
	w.checkAll()
}

// offer performs operations that have waited for a callback of s, which runs.
func (w *world) offer(at Place, s *stream) {
	for w.pc < w.ready() && w.err == nil {
		o := w.p.Ops[w.pc]
		if o.In != at || w.stream(o.Via) != s {
			return
		}
		w.perform(o)
	}
}

// stream is the one with that number, modulo how many there are, or nil.
func (w *world) stream(i int) *stream {
	if len(w.streams) == 0 {
		return nil
	}
	return w.streams[i%len(w.streams)]
}

// begin asks stream Via for the function in which an operation is to be performed.
func (w *world) begin(o Op) {
	s := w.stream(o.Via)
	switch {
	case s == nil || s.s == nil:
	case o.In == Posted:
		s.post(func() { w.offer(Posted, s) })
		if o.N%2 == 0 || o.Do == "Goexit" {
			s.post(func() {}) // which comes also if the other ends the goroutine
		}
	case o.In == Timer && !s.endedByUser() && !s.over():
		s.after(0, func() { w.offer(Timer, s) })
	case o.In == Notified:
		s.writeNotify(10, func() { w.offer(Notified, s) })
	}
}

// step runs one turn, which sleeps for so long at most.
func (w *world) step(most time.Duration) {
	if w.err != nil {
		return
	}
	w.turn++
	switch {
	case w.dead:
		w.k.Advance(most)
	case w.p.stepped():
		w.stepOne(most)
	default:
		_, err := w.e.Poll(most)
		if w.dead = err != nil; w.dead && !errors.Is(err, simulated.ErrFailed) && !errors.Is(err, net.ErrClosed) {
			w.failf("Poll: %w", err)
		}
	}
	synctest.Wait()
	w.arrivals()
	w.checkAll()
}

// stepOne lets one of several loops go on, or time pass.
func (w *world) stepOne(most time.Duration) {
	if !w.k.Step() {
		w.k.Advance(most)
	}
	select {
	case <-w.e.Done():
		w.dead = true
	default:
	}
}

// asyncCall is a call that waits for a loop.
type asyncCall struct {
	what string
	done chan struct{}
}

func (w *world) goAsync(what string, fn func()) {
	c := &asyncCall{what, make(chan struct{})}
	w.async = append(w.async, c)
	go func() {
		defer close(c.done)
		fn()
	}()
	if w.current < 0 {
		synctest.Wait()
	}
}

// returned reports whether all calls have returned, and else which has not.
func (w *world) returned() (what string, ok bool) {
	w.async = slices.DeleteFunc(w.async, func(c *asyncCall) bool {
		select {
		case <-c.done:
			return true
		default:
			return false
		}
	})
	if len(w.async) > 0 {
		return w.async[0].what, false
	}
	return "", true
}

// endEngine ends the engine, as the program says.
func (w *world) endEngine() {
	w.down, w.downSince = true, w.now()
	for _, s := range w.streams {
		s.mayClose = true
	}
	call := func() error { w.aborted = true; return w.e.Close() }
	if ms := w.p.End; ms > 0 {
		ctx, cancel := w.k.Clock().WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
		defer cancel()
		stop := w.k.Clock()
		began := stop.Now()
		call = func() error {
			defer func() { w.aborted = w.aborted || stop.Since(began) >= time.Duration(ms)*time.Millisecond }()
			return w.e.Shutdown(ctx)
		}
	}
	if !w.p.stepped() {
		w.aborted = true // it may come to that
		w.shutdown = call()
		return
	}
	w.aborted = true
	w.goAsync("the end of the engine", func() { w.shutdown = call() })
	w.until("the end of the engine", 20_000, func() (string, bool) { return w.returned() })
}
