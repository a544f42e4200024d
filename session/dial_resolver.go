package session

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync/atomic"

	"github.com/tandem-io/tandem/backend"
)

// guardedResolver is a resolver of the user's whose Dial function, which package net calls on goroutines of its own,
// ends neither the program nor the dial.
type guardedResolver struct {
	user *net.Resolver
	safe *net.Resolver
}

// panicKey is the key of a context's value: the *atomic.Pointer[PanicError] for a panic of the resolver. Package net
// keeps only the text of errors.
type panicKey struct{}

var errGoexitInResolver = errors.New("the Resolver's Dial function has called runtime.Goexit")

// resolver is r, or the default, with a Dial function that returns whatever it does. The last one is kept, so that
// package net can ask once for what several dials look up at the same time.
func (e *Engine) resolver(r *net.Resolver) *net.Resolver {
	switch {
	case r == nil:
		return net.DefaultResolver
	case r.Dial == nil:
		return r
	}
	if last := e.lastResolver.Load(); last != nil && last.user == r {
		return last.safe
	}
	g := &guardedResolver{user: r, safe: &net.Resolver{PreferGo: r.PreferGo, StrictErrors: r.StrictErrors}}
	g.safe.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return g.dial(ctx, network, address, e.propagate)
	}
	e.lastResolver.Store(g)
	return g.safe
}

// dial calls the user's function on a goroutine of its own, which it may end.
func (g *guardedResolver) dial(ctx context.Context, network, address string, propagate bool) (c net.Conn, err error) {
	done := make(chan struct{})
	err = errGoexitInResolver
	go func() {
		defer close(done)
		if !propagate {
			defer func() {
				if v := recover(); v != nil {
					p := &PanicError{Value: v, Stack: debug.Stack()}
					c, err = nil, p
					if kept, ok := ctx.Value(panicKey{}).(*atomic.Pointer[PanicError]); ok {
						kept.Store(p)
					}
				}
			}()
		}
		c, err = g.user.Dial(ctx, network, address)
	}()
	<-done
	return c, err
}

// lookUp looks the dial's name up.
func (d *dial) lookUp(ctx context.Context) ([]backend.Address, error) {
	var panicked atomic.Pointer[PanicError]
	ctx = context.WithValue(ctx, panicKey{}, &panicked)
	addrs, err := d.target.resolve(ctx, d.stream.loop.engine.resolver(d.opts.Resolver))
	if p := panicked.Load(); err != nil && p != nil {
		err = p
	}
	return addrs, err
}
