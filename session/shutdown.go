package session

import (
	"context"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Shutdown ends the engine: it stops accepting, tells every handler that is a Drainer and leaves it to close its
// stream, and closes all other streams as by Close. When ctx ends first, it aborts what is left and returns ctx.Err().
// When it returns, every OnClose has run, and every goroutine, descriptor and mapping of the engine is gone. In a
// callback of the engine it returns an error at once, because it would wait for itself.
func (e *Engine) Shutdown(ctx context.Context) error {
	if e.driven {
		return e.shutdownDriven(ctx)
	}
	if e.onLoop() {
		return backend.ErrOnLoop
	}
	if !e.goDown() {
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
		e.abortAll() // as this caller asks, too
		<-e.ended
		return ctx.Err()
	}
	e.stopListening(true)
	for _, l := range e.loops {
		_ = l.Post(backend.TaskFunc(l.drain))
	}
	err := e.awaitEmpty(ctx)
	for _, l := range e.loops {
		_ = l.Post(backend.TaskFunc(l.Stop))
	}
	e.running.Wait()
	e.lookups.Wait()
	close(e.ended)
	return err
}

// goDown reports whether this call is the first.
func (e *Engine) goDown() bool {
	e.mu.Lock() // so that no listener begins meanwhile
	defer e.mu.Unlock()
	return e.down.CompareAndSwap(false, true)
}

func (e *Engine) stopListening(wait bool) {
	e.mu.Lock()
	all := make([]*listener, 0, len(e.listeners))
	for l := range e.listeners {
		all = append(all, l)
	}
	e.mu.Unlock()
	for _, l := range all {
		l.close()
	}
	for _, l := range all {
		if wait {
			l.wait()
		}
	}
}

// awaitEmpty waits for the last stream of every loop; from the end of ctx on, not for their own time.
func (e *Engine) awaitEmpty(ctx context.Context) error {
	var err error
	for _, l := range e.loops {
		select {
		case <-l.emptied:
			continue
		case <-l.Done(): // the loop has failed
			continue
		case <-ctx.Done():
		}
		if err == nil {
			err = ctx.Err()
			e.abortAll()
		}
		select {
		case <-l.emptied:
		case <-l.Done():
		}
	}
	return err
}

func (e *Engine) abortAll() {
	for _, l := range e.loops {
		_ = l.Post(backend.TaskFunc(func() { l.each(func(s *Stream) { _ = s.Abort() }) }))
	}
}

// drain begins the end of a loop.
func (l *Loop) drain() {
	l.draining = true
	for s := range l.dialing {
		_ = s.Close()
	}
	l.each(func(s *Stream) {
		if h, ok := s.handler.(Drainer); ok {
			s.call(func() { h.OnDrain(s) })
		} else {
			_ = s.Close()
		}
	})
	l.checkEmpty()
}

// shutdownDriven is Shutdown on the goroutine that drives the loop.
func (e *Engine) shutdownDriven(ctx context.Context) error {
	select {
	case <-e.ended:
		return nil
	default:
	}
	l := e.loops[0]
	if err := e.bind(l); err != nil {
		if !l.Bound() && e.goDown() { // it could not start
			_ = l.Abandon()
			close(e.ended)
		}
		return err
	}
	if l.Stepping() {
		return backend.ErrOnLoop
	}
	if !e.goDown() {
		return nil
	}
	e.stopListening(false)
	_ = l.Post(backend.TaskFunc(l.drain))
	var err error
	for done := false; !done; {
		if _, stepErr := l.Step(10 * time.Millisecond); stepErr != nil {
			err = stepErr
			break
		}
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
			e.abortAll()
		}
		select {
		case <-l.emptied:
			done = true
		default:
		}
	}
	if endErr := l.End(); err == nil {
		err = endErr
	}
	e.lookups.Wait()
	close(e.ended)
	return err
}
