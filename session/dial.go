package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// DialOptions are what one dial does differently. The zero value is right.
type DialOptions struct {
	// Timeout bounds the whole dial, names included. Default 0: only the context and the kernel do. One that is negative
	// has passed already.
	Timeout time.Duration

	// LocalAddr is the address to dial from, a *net.TCPAddr or *net.UnixAddr. Only addresses of its family are tried.
	// Default nil: the kernel chooses.
	LocalAddr net.Addr

	// Control is called with each socket before it is connected, as in net.Dialer: with the network tcp4, tcp6 or unix.
	// It runs on the goroutine that calls Dial; for Connect on the one that calls it, which may be a loop, or if a name
	// has to be looked up on a goroutine of the dial's. A panic in it is the dial's error, a *PanicError.
	Control func(network, address string, c syscall.RawConn) error

	// ControlContext is Control with the dial's context, which ends with the dial. If it is set Control is not called.
	ControlContext func(ctx context.Context, network, address string, c syscall.RawConn) error

	// Resolver looks names up. Default nil: net.DefaultResolver.
	Resolver *net.Resolver

	// SameLoop puts the new stream on the loop of this one, which must be of the same Transport. Default nil: the
	// Transport's Balance chooses.
	SameLoop *Stream

	// Socket are options of each socket, set before Control is called. They come after the defaults, which are
	// NoDelay(true) and KeepAlive(0, 0, 0). Default none.
	Socket []backend.SocketOption

	// StreamOptions are those of the stream, where they are not the Transport's.
	StreamOptions
}

// Connect begins to dial and returns at once: OnOpen, or OnClose with the error, tells the result. It may be called
// from any goroutine, also in callbacks. What is written before OnOpen is sent after it. The error it returns itself is
// for arguments that no dial could honour, and net.ErrClosed once the engine shuts down. The socket for an address that
// needs no look-up is made on the calling goroutine, and so in its network namespace.
func (e *Engine) Connect(network, address string, h Handler, o *DialOptions) (*Stream, error) {
	d, err := e.newDial(network, address, h, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.lookup = cancel
	d.makeKnown(ctx)
	named := d.target.host != "" && e.holdEnd()
	if err := d.begin(); err != nil {
		cancel()
		if named {
			e.lookups.Done()
		}
		return nil, err
	}
	if named {
		go func() {
			defer e.lookups.Done()
			d.serve(ctx)
		}()
	}
	return d.stream, nil
}

// holdEnd keeps the engine from ending until lookups.Done. It reports false if the engine shuts down already.
func (e *Engine) holdEnd() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down.Load() {
		return false
	}
	e.lookups.Add(1)
	return true
}

// Dial dials and waits for the result, for its context, and for the end of the loop. A stream that was connected before
// the context ended is returned alive. In a callback, or on the goroutine that drives a caller-driven Transport, it
// returns an error at once, because nothing could happen while it waits; use Connect there. Names are looked up and
// sockets made on the calling goroutine, and so in its network namespace.
func (e *Engine) Dial(ctx context.Context, network, address string, h Handler, o *DialOptions) (*Stream, error) {
	refuse := func(err error) (*Stream, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	switch {
	case ctx == nil:
		return refuse(errors.New("the context is nil"))
	case e.down.Load() && e.onLoop():
		return refuse(errors.Join(net.ErrClosed, backend.ErrOnLoop))
	case e.down.Load():
		return refuse(net.ErrClosed)
	case e.onLoop() || e.driven:
		return refuse(backend.ErrOnLoop)
	case ctx.Err() != nil:
		return refuse(ctx.Err())
	}
	d, err := e.newDial(network, address, h, o)
	if err != nil {
		return nil, err
	}
	result := make(chan error, 1)
	d.result = result
	inner, cancel := context.WithCancel(ctx)
	d.lookup = cancel
	defer cancel()
	d.makeKnown(inner)
	if err := d.begin(); err != nil {
		return nil, err
	}
	s, returned := d.stream, false
	defer func() {
		if !returned {
			s.failDial(d.opError(backend.Address{}, errGoexitInDial)) // Control has ended this goroutine
		}
	}()
	err = d.await(ctx, inner, result)
	returned = true
	if err != nil {
		return nil, err
	}
	return s, nil
}

// await waits for the result of a dial, and makes its sockets meanwhile.
func (d *dial) await(ctx, inner context.Context, result <-chan error) error {
	if d.target.host != "" {
		d.serve(inner) // until the race is decided
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	case <-d.stream.loop.Done():
	}
	select {
	case err := <-result:
		return err
	default:
	}
	cause := ctx.Err()
	if cause == nil {
		cause = net.ErrClosed // the loop has ended
	}
	failure := d.opError(backend.Address{}, cause)
	if d.stream.failDial(failure) {
		return failure
	}
	if d.stream.attached() {
		return nil // it was connected already: then it is the caller's
	}
	return <-result
}

// failDial ends a stream that is being dialled with err. It reports false if it is no longer: connected, or over.
func (s *Stream) failDial(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != dialing {
		return false
	}
	s.failLocked(err, s.loop.Here())
	return true
}

// attached reports whether a dial has given the stream its descriptor.
func (s *Stream) attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dial == nil
}

// newDial checks the arguments of a dial and makes its stream.
func (e *Engine) newDial(network, address string, h Handler, o *DialOptions) (*dial, error) {
	if err := checkHandler(h); err != nil {
		return nil, fmt.Errorf("tandem: dial: %w", err)
	}
	d := &dial{network: network, running: map[*attempt]struct{}{}, wanted: make(chan backend.Address, 1)}
	if o != nil {
		d.opts = *o
	}
	opts, err := d.opts.StreamOptions.over(e.defaults).Complete()
	if err != nil {
		return nil, err
	}
	refuse := func(err error) (*dial, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Source: d.opts.LocalAddr, Err: err}
	}
	if d.target, err = parseTarget(network, address, d.opts.LocalAddr); err != nil {
		return refuse(err)
	}
	if d.sockopt, err = newSocketOptions(network, backend.OnDial, d.opts.Socket, nil); err != nil {
		return refuse(err)
	}
	l, err := e.loopOf(&d.opts, d.target)
	if err != nil {
		return refuse(err)
	}
	d.stream = newStream(l, h, opts)
	d.stream.dial = d
	return d, nil
}

// loopOf chooses the loop of a dial.
func (e *Engine) loopOf(o *DialOptions, t target) (*Loop, error) {
	if s := o.SameLoop; s != nil {
		if s.loop.engine != e {
			return nil, errors.New("SameLoop is a stream of another Transport")
		}
		s.loop.load.Add(1)
		return s.loop, nil
	}
	if len(t.known) == 1 {
		return e.pick(t.known[0]), nil
	}
	return e.pick(backend.Address{}), nil
}

// begin hands the dial to its loop.
func (d *dial) begin() error {
	l := d.stream.loop
	if err := l.begin(d.start); err != nil {
		l.unpick()
		for _, m := range d.made {
			m.close()
		}
		return &net.OpError{Op: "dial", Net: d.network, Source: d.opts.LocalAddr, Err: err}
	}
	return nil
}

var errGoexitInDial = errors.New("Control has called runtime.Goexit")
