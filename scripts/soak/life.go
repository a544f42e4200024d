//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend"
)

// life is that of one Transport.
type life struct {
	*soak
	number  int
	t       tandem.Transport
	driven  bool
	before  atomic.Pointer[tandem.Stats]
	workers sync.WaitGroup // goroutines that must end with the life
	clients sync.WaitGroup
	duties  chan duty     // for a CallerDriven Transport: what its goroutine does beside polling
	polling chan struct{} // closed when that goroutine has ended
	working sync.Mutex    // held by that goroutine while it uses sessions outside of Poll, and while another ends the Transport

	impatient              error // of Close, which had waited for a turn
	ending, died, stopping atomic.Bool
	doomed                 atomic.Int32 // callbacks that are to end their loop

	mu     sync.Mutex // guards what follows
	ends   []*end
	places []place
}

// duty is one step of a session that its caller drives. It reports whether there is no more to do.
type duty func() (over bool)

func (l *life) isEnding() bool { return l.ending.Load() }
func (l *life) hasDied() bool  { return l.died.Load() }

// pick returns one of the addresses that suit.
func (l *life) pick(r *rand.Rand, suits func(place) bool) (place, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []place
	for _, p := range l.places {
		if suits(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return place{}, false
	}
	return all[r.IntN(len(all))], true
}

// excuse returns why a connection of the life may have failed, or "".
func (l *life) excuse(shortages uint64, mayLack bool) string {
	switch {
	case l.ending.Load():
		return "the Transport was ending"
	case l.died.Load():
		return "a loop had died"
	case mayLack && (shortages%2 == 1 || l.shortages.Load() != shortages):
		return "there were too few descriptors"
	}
	return ""
}

// isContext reports whether an error is that of a context that has ended.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// options draws those of a life.
func (s *soak) options(r *rand.Rand) tandem.Options {
	o := s.backend
	o.Logger = slog.New(&logCounter{s})
	o.Loops = 1 + r.IntN(3)
	if r.IntN(5) == 0 {
		o.CallerDriven, o.Loops = true, 1
	}
	o.Balance = []tandem.Balance{tandem.RoundRobin, tandem.LeastStreams, tandem.SourceHash, tandem.ReusePort}[r.IntN(4)]
	if o.CallerDriven {
		o.Balance = tandem.RoundRobin
	}
	if r.IntN(3) == 0 {
		o.MemoryLimit = 4 << 20
	}
	if r.IntN(3) == 0 {
		o.TLSHandshakes = 1 + r.IntN(3)
	}
	if o.Backend == tandem.Uring && r.IntN(4) == 0 {
		o.Uring.Rung = []string{"coop", "plain", "oneshot"}[r.IntN(3)]
	}
	o.StreamOptions = streamOptions(r)
	return o
}

// streamOptions draws limits. No peer is given up for being slow: the machine may be.
func streamOptions(r *rand.Rand) tandem.StreamOptions {
	o := tandem.StreamOptions{CloseTimeout: 5 * time.Minute, TLSHandshakeTimeout: 5 * time.Minute, ReadWhileBlocked: r.IntN(5) == 0}
	if r.IntN(2) == 0 {
		o.HighWater = 1 << (10 + r.IntN(8))
		o.LowWater = max(1, r.IntN(o.HighWater))
	}
	if r.IntN(2) == 0 {
		o.ReadBufferLimit = 1 << (10 + r.IntN(9))
	}
	if r.IntN(3) == 0 {
		o.TurnBudget = 1 << (4 + r.IntN(14))
	}
	return o
}

// live is one life, which lasts for d.
func (s *soak) live(number int, r *rand.Rand, d time.Duration) {
	before := takeCensus()
	l := &life{soak: s, number: number, duties: make(chan duty, 64), polling: make(chan struct{})}
	o := s.options(r)
	l.driven = o.CallerDriven
	t, err := tandem.Open(&o)
	if err != nil {
		s.failf("life %d: Open: %v", number, err)
		return
	}
	l.t = t
	if l.driven {
		l.workers.Add(1)
		go l.poll()
	}
	l.listen(r)
	s.inLife(l)
	l.trouble(r)
	time.Sleep(d)
	l.end(r)
	s.inLife(nil)
	s.tally(t.Stats())
	l.check(before)
	s.lives.Add(1)
}

// trouble starts the clients of a life, and what disturbs it.
func (l *life) trouble(r *rand.Rand) {
	for range 8 + r.IntN(24) {
		seed := r.Uint64()
		l.clients.Add(1)
		go func() {
			defer l.clients.Done()
			l.client(rand.New(rand.NewPCG(seed, 1)))
		}()
	}
	l.begin(r, l.landlord)
	if r.IntN(5) == 0 {
		l.begin(r, l.peerProcess)
	}
	if r.IntN(6) == 0 {
		l.doomed.Store(1 + r.Int32N(2))
	}
}

// begin runs fn on a goroutine of the life.
func (l *life) begin(r *rand.Rand, fn func(*rand.Rand)) {
	seed := r.Uint64()
	l.workers.Add(1)
	go func() {
		defer l.workers.Done()
		fn(rand.New(rand.NewPCG(seed, 2)))
	}()
}

// poll polls a CallerDriven Transport until it ends, and does the duties of its goroutine.
func (l *life) poll() {
	defer l.workers.Done()
	defer close(l.polling)
	var duties []duty
	for {
		if _, err := l.t.Poll(time.Millisecond); err != nil {
			if !errors.Is(err, net.ErrClosed) && !errors.Is(err, backend.ErrThread) && !l.hasDied() {
				l.failf("Poll: %v", err)
			}
			return
		}
		select {
		case d := <-l.duties:
			duties = append(duties, d)
		default:
		}
		duties = l.performAll(duties)
	}
}

// performAll runs one step of each duty, and returns those that are not over.
func (l *life) performAll(duties []duty) []duty {
	l.working.Lock()
	defer l.working.Unlock()
	left := duties[:0]
	for _, d := range duties {
		if !d() {
			left = append(left, d)
		}
	}
	return left
}

// perform runs a duty to its end, on the goroutine that polls or on the caller's.
func (l *life) perform(d duty) {
	if !l.driven {
		for !d() {
			time.Sleep(200 * time.Microsecond)
		}
		return
	}
	over := make(chan struct{})
	select {
	case l.duties <- func() bool {
		if d() {
			close(over)
			return true
		}
		return false
	}:
	case <-l.polling:
		return
	}
	select {
	case <-over:
	case <-l.polling:
	}
}

// end ends the Transport with everything alive, in one of the ways.
func (l *life) end(r *rand.Rand) {
	came := l.watch.expect("end of the Transport of life %d", l.number)
	defer came()
	l.weather.Lock() // until everything is gone
	defer l.weather.Unlock()
	l.ending.Store(true)
	way := r.IntN(3)
	patience := time.Duration(r.IntN(200)) * time.Millisecond
	if way == 1 {
		l.stopping.Store(true) // clients see their connections through
		patience *= 10
	}
	if l.driven && r.IntN(2) == 0 { // on the goroutine that polls
		l.perform(func() bool {
			l.shut(way, patience)
			return true
		})
	}
	l.working.Lock()
	l.shut(way, patience)
	l.working.Unlock()
	l.stopping.Store(true)
	<-l.t.Done()
	if l.t.Err() == nil {
		l.failf("Err is nil after the end")
	}
	if l.impatient != nil && l.t.Stats().LongestTurn < 900*time.Millisecond {
		l.failf("%v, and no turn took so long", l.impatient)
	} else if l.impatient != nil {
		l.count(excused, "Close gave up waiting for a turn that the machine neglected")
	}
	l.clients.Wait()
	l.workers.Wait()
}

// shut ends the Transport by Close or Shutdown. A second call finds nothing to do.
func (l *life) shut(way int, patience time.Duration) {
	if way == 0 {
		l.count(done, "calls of Close")
		l.shutError("Close", l.t.Close())
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l.count(done, "calls of Shutdown")
	l.shutError("Shutdown", l.t.Shutdown(ctx))
	l.shutError("Close after Shutdown", l.t.Close()) // which may have given up waiting
}

// shutError fails for an error that the end of a Transport may not have.
func (l *life) shutError(way string, err error) {
	lost := l.driven && errors.Is(err, backend.ErrThread)
	switch {
	case err == nil, lost, way == "Shutdown" && errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, context.DeadlineExceeded): // no turn for a second; how long turns took is known when they are over
		l.impatient = errors.Join(l.impatient, fmt.Errorf("%s: %w", way, err))
	default:
		l.failf("%s: %v", way, err)
	}
}

// mayLack reports whether an error is one of too few descriptors.
func mayLack(err error) bool { return errors.Is(err, syscall.EMFILE) }
