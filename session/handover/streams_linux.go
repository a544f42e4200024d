package handover

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/tandem-io/tandem/session"
)

// Stream gives a stream away: it detaches it, so that OnClose(nil) is called here, and gives the Conn away. describe is
// called on the loop right before that, when no more is delivered, and returns what the new process is to know the stream
// by, and how far the program is with it. It must not block, nor call methods of the stream but Value. nil: no name and no
// state.
//
// If there is an error and kept is not nil, the stream has become this Conn. It is the caller's, who gives it to Adopt, for
// example. If kept is nil, the stream lives on, or had ended already: then the error is net.ErrClosed. Stream must not be
// called in a callback.
func (g *Giver) Stream(ctx context.Context, s *session.Stream, describe func() (name string, state []byte)) (kept net.Conn, err error) {
	if err := g.Err(); err != nil {
		return nil, err
	}
	if _, secured := s.TLS(); secured {
		return nil, errTLS
	}
	var name string
	var state []byte
	c, err := detach(ctx, s, func() {
		if describe != nil {
			name, state = describe()
		}
	})
	if err != nil {
		return nil, err
	}
	if err := g.conn(ctx, c, func() (string, []byte) { return name, state }); err != nil {
		return c, err
	}
	return nil, nil
}

// detach is DetachThen on the stream's loop, where no callback of the stream is in the middle of its work: its writes would
// fail from then on, although it may have read what they answer.
func detach(ctx context.Context, s *session.Stream, last func()) (c net.Conn, err error) {
	var begun atomic.Bool // by the loop, or given up
	done := make(chan struct{})
	if err := s.Post(func() {
		defer close(done)
		if begun.CompareAndSwap(false, true) {
			c, err = session.DetachThen(s, last)
		}
	}); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		if begun.CompareAndSwap(false, true) {
			return nil, ctx.Err()
		}
		<-done
	}
	return c, err
}

// Streams gives the streams of a Transport, and returns how many the new process has. What cannot be detached, or ends
// meanwhile, is left out. When ctx ends, or the conversation does, it returns why, and the streams that it has not come to
// live on. It returns nil if some were refused: Kept is told. Close the listeners first, or give them: streams that open
// meanwhile are left out. Each loop is held up while its streams are counted and selected. Streams must not be called in a
// callback.
func (g *Giver) Streams(ctx context.Context, t Transport, which Selection) (given int, err error) {
	if which.Kept == nil {
		return 0, errNoKept
	}
	all, err := g.collect(ctx, t, which.Select)
	if err != nil {
		return 0, err
	}
	var workers sync.WaitGroup
	var mu sync.Mutex // guards given and all
	next := func() *session.Stream {
		mu.Lock()
		defer mu.Unlock()
		if len(all) == 0 || ctx.Err() != nil || g.Err() != nil {
			return nil
		}
		s := all[0]
		all = all[1:]
		return s
	}
	for range min(g.items, len(all)) {
		workers.Go(func() {
			for s := next(); s != nil; s = next() {
				if g.one(ctx, s, which) {
					mu.Lock()
					given++
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	if err := g.Err(); err != nil {
		return given, err
	}
	return given, ctx.Err()
}

// one gives one stream of Streams, and reports whether it has gone.
func (g *Giver) one(ctx context.Context, s *session.Stream, which Selection) bool {
	describe := func() (string, []byte) { return "", nil }
	if which.Describe != nil {
		describe = func() (string, []byte) { return which.Describe(s) }
	}
	kept, err := g.Stream(ctx, s, describe)
	if kept != nil {
		which.Kept(s, kept, err)
	}
	return err == nil
}

// collect returns the streams of all loops.
func (g *Giver) collect(ctx context.Context, t Transport, selects func(*session.Stream) bool) ([]*session.Stream, error) {
	loops := len(t.Stats().Loops)
	found := make(chan []*session.Stream, loops)
	asked := 0
	for i := range loops {
		l := t.Loop(i)
		var own []*session.Stream
		err := l.Post(func() {
			defer func() { found <- own }()
			_ = l.Each(func(s *session.Stream) { // on the loop Each is done when it returns
				if _, secured := s.TLS(); !secured && (selects == nil || selects(s)) {
					own = append(own, s)
				}
			})
		})
		if err == nil { // else the loop has ended, and has no streams
			asked++
		}
	}
	var all []*session.Stream
	for range asked {
		select {
		case own := <-found:
			all = append(all, own...)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-g.failed:
			return nil, g.Err()
		}
	}
	return all, nil
}

var (
	errNoKept = errors.New("handover: Selection.Kept is nil")
	errTLS    = errors.Join(errors.New("handover: a stream with TLS stays where its keys are"), errors.ErrUnsupported)
)
