package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/tandem-io/tandem/backend"
)

const (
	// shutdownGrace is how long Shutdown waits, from the end of its context on, for streams to be aborted.
	shutdownGrace = 80 * time.Millisecond

	// closePatience is how long Close waits for a loop that makes no turn, so that a callback of it must be blocking.
	closePatience = time.Second
)

// Shutdown ends the engine: it stops accepting, refuses what is new, tells every handler that is a Drainer and leaves it
// to close its stream, and closes all other streams as by Close. When ctx ends first, it aborts what is left and returns
// ctx.Err(). When it returns nil, every OnClose has run, and every goroutine, descriptor and mapping of the engine is
// gone.
//
// It returns within 100 ms of ctx's end whatever callbacks do. If the engine has not ended by then, the error, which
// holds ctx.Err(), says which stream's callback is in the way, and the rest ends when that returns; another Shutdown or
// Close waits for it. In a callback of the engine it returns an error at once, because it would wait for itself.
func (e *Engine) Shutdown(ctx context.Context) error {
	switch {
	case ctx == nil:
		return errors.New("tandem: shutdown: the context is nil")
	case e.driven:
		return e.shutdownDriven(ctx, shutdownGrace)
	case e.onLoop():
		return backend.ErrOnLoop
	}
	if e.goDown() {
		go e.windUp()
	}
	select {
	case <-e.ended:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-e.ended:
		return nil // whatever the context says, nothing was aborted
	default:
	}
	before := e.turns()
	e.abortAll()
	passed, stop := backend.After(e.clock, shutdownGrace)
	defer stop()
	select {
	case <-e.ended:
		return ctx.Err()
	case <-passed:
		return e.unfinished("shutdown", before, ctx.Err())
	}
}

// Close is Shutdown that aborts at once. It waits for all to end, and returns an error only if a callback blocks.
func (e *Engine) Close() error {
	if e.driven {
		err := e.shutdownDriven(canceled(), closePatience)
		if e.isGone() { // however its streams have ended
			err = nil
		}
		return err
	}
	if e.onLoop() {
		return backend.ErrOnLoop
	}
	if e.goDown() {
		go e.windUp()
	}
	e.abortAll()
	for before := e.turns(); ; {
		passed, stop := backend.After(e.clock, closePatience)
		select {
		case <-e.ended:
			stop()
			return nil
		case <-passed:
		}
		now := e.turns()
		if slices.Equal(now, before) {
			return e.unfinished("close", before, context.DeadlineExceeded)
		}
		before = now
	}
}

// windUp ends everything, however long that takes.
func (e *Engine) windUp() {
	e.stopListening()
	noConns := e.conns.drain()
	for _, l := range e.loops {
		_ = l.Post(backend.TaskFunc(l.beginShutdown))
	}
	<-noConns
	for _, l := range e.loops {
		select {
		case <-l.emptied:
		case <-l.Done(): // it has failed
		}
	}
	for _, l := range e.loops {
		_ = l.Post(backend.TaskFunc(func() { l.endTimers(); l.Stop() }))
	}
	e.running.Wait()
	for _, l := range e.loops {
		<-l.Done() // on another goroutine, if a callback has ended the loop's
	}
	e.dials.Wait()
	e.end()
}

// goDown reports whether this call is the first.
func (e *Engine) goDown() bool {
	e.mu.Lock() // so that no listener begins meanwhile
	defer e.mu.Unlock()
	first := e.down.CompareAndSwap(false, true)
	e.endLife()
	return first
}

func (e *Engine) stopListening() {
	e.mu.Lock()
	all := make([]*listener, 0, len(e.listeners))
	for l := range e.listeners {
		all = append(all, l)
	}
	e.mu.Unlock()
	for _, l := range all {
		l.close()
	}
}

func (e *Engine) abortAll() {
	e.conns.abort() // also if a loop is held up
	for _, l := range e.loops {
		_ = l.Post(backend.TaskFunc(func() {
			l.aborting = true
			l.each((*Stream).abortNow)
		}))
	}
}

// abortNow aborts a stream because the engine cannot wait for it any longer. A connection that Detach gives away is not
// the engine's, but who waits to be told of its bytes is.
func (s *Stream) abortNow() {
	_ = s.Abort()
	if s.waitsForRest() {
		s.restSent(0, errNotTold)
	}
}

// waitsForRest reports whether the stream has handed its connection over, and ends when it is known what became of the
// bytes that it had queued.
func (s *Stream) waitsForRest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.handOff() != nil && s.life.phase == releasing && s.life.handOff().isLive()
}

// turns is how many turns each loop has made.
func (e *Engine) turns() []uint64 {
	var all []uint64
	for _, l := range e.loops {
		all = append(all, l.Total(backend.Turns))
	}
	return all
}

// unfinished says what is in the way of an end that takes too long. before are the turns of an earlier time.
func (e *Engine) unfinished(op string, before []uint64, cause error) error {
	streams := 0
	var blocked error
	for i, l := range e.loops {
		select {
		case <-l.Done():
			continue
		default:
		}
		streams += l.Streams()
		if l.Total(backend.Turns) == before[i] {
			blocked = fmt.Errorf("%s does not return: %w", l.blocking(), cause)
		}
	}
	if blocked == nil {
		blocked = cause
	}
	if n := e.conns.open(); n > 0 {
		return fmt.Errorf("tandem: %s: %d streams and %d connections are still ending: %w", op, streams, n, blocked)
	}
	return fmt.Errorf("tandem: %s: %d streams are still ending: %w", op, streams, blocked)
}

// blocking says what the loop called last. Any goroutine.
func (l *loop) blocking() string {
	c := call(l.current.Load())
	if c.stream() == 0 && c != 0 {
		return "a function given to " + l.describe(c)
	}
	return fmt.Sprintf("a callback of stream %d", c.stream())
}

// beginShutdown begins the end of a loop.
func (l *loop) beginShutdown() {
	l.draining = true
	for d := range l.dialing {
		_ = d.giveUp(net.ErrClosed)
	}
	l.each(func(s *Stream) {
		if s.opened && s.isRelayed() { // perhaps nobody has taken it over yet
			s.needs().undrained = true
		} else {
			s.drain()
		}
	})
	l.checkEmpty()
}

// drain tells the stream's handler of a Shutdown, or closes the stream.
func (s *Stream) drain() {
	if h, ok := s.handler.(Drainer); ok && s.opened && s.isOpen() {
		s.call(onDrain, func() { h.OnDrain(s) })
	} else {
		_ = s.Close()
	}
}

// isOpen reports whether the stream has been opened, and nobody has ended it yet.
func (s *Stream) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.phase == open
}

// shutdownDriven is Shutdown of a caller-driven engine. The caller becomes the one that drives the loop; it waits for that
// until grace after ctx's end, if another goroutine is in Poll. On io_uring the loop cannot change hands: then its
// streams are reset.
func (e *Engine) shutdownDriven(ctx context.Context, grace time.Duration) error {
	l := e.loops[0]
	if l.Stepping() {
		return backend.ErrOnLoop
	}
	patience, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { e.clock.AfterFunc(grace, cancel) })()
	select {
	case e.winding <- struct{}{}:
		defer func() { <-e.winding }()
	case <-patience.Done():
		return ctx.Err()
	}
	if e.isGone() {
		return nil
	}
	if e.goDown() {
		e.stopListening()
		_ = l.Post(backend.TaskFunc(l.beginShutdown))
	}
	noConns := e.conns.drain()
	streams := l.Streams()
	err := l.TakeOver(patience)
	switch {
	case err == nil:
		err = e.driveToEnd(ctx, l)
		l.endTimers()
		if endErr := l.End(); err == nil {
			err = endErr
		}
	case !l.Ending():
		return e.unfinished("shutdown", e.turns(), ctx.Err())
	case !errors.Is(err, backend.ErrThread), streams == 0: // it had died before, or had nothing to lose
		err = nil
	}
	<-l.Done()
	aborted, over := e.awaitConns(ctx, patience, noConns)
	if !over {
		return e.unfinished("shutdown", e.turns(), ctx.Err())
	}
	if err == nil && aborted {
		err = ctx.Err()
	}
	e.dials.Wait()
	e.end()
	return err
}

// awaitConns waits until no Conn is left, which is what none tells. It resets them when ctx ends, and gives up when
// patience does.
func (e *Engine) awaitConns(ctx, patience context.Context, none <-chan struct{}) (aborted, over bool) {
	select {
	case <-none:
		return false, true
	default:
	}
	select {
	case <-none:
		return false, true
	case <-ctx.Done():
	}
	e.conns.abort()
	select {
	case <-none:
		return true, true
	case <-patience.Done():
		return true, false
	}
}

// isGone reports whether everything is gone.
func (e *Engine) isGone() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

// driveToEnd polls until the loop is empty, and aborts what is left when ctx ends.
func (e *Engine) driveToEnd(ctx context.Context, l *loop) (err error) {
	for {
		if _, stepErr := l.Step(10 * time.Millisecond); stepErr != nil {
			return stepErr
		}
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
			e.abortAll()
		}
		select {
		case <-l.emptied:
			return err
		default:
		}
	}
}
