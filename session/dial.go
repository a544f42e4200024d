package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// DialOptions are what one dial does differently. The zero value is right.
type DialOptions struct {
	// Timeout bounds the whole dial, looking up names and Control included: when it has passed the error is
	// os.ErrDeadlineExceeded. Default 0: only the context and the kernel do. One that is negative has passed already.
	// It is not divided among the addresses of a name, which are tried side by side.
	Timeout time.Duration

	// LocalAddr is the address to dial from: a *net.TCPAddr for TCP, a *net.UnixAddr for unix, a *VsockAddr for vsock. If it has
	// an IP address only addresses of that family are tried. Default nil: the kernel chooses.
	LocalAddr net.Addr

	// Control is called with each socket before it is connected, as in net.Dialer: with the network tcp4, tcp6, unix or
	// vsock, and after the options of Socket are set. It may block without holding anything up but the dial, and may be called
	// for several addresses of a name, for one after another.
	//
	// It runs on the goroutine that calls Dial, or Connect; only for a Connect that looks a name up on a goroutine of
	// its own. So if Connect is called in a callback, with an address that is known, Control runs on the loop. The
	// RawConn is good until Control returns. A panic in Control is the dial's error, a *PanicError. Default nil.
	Control func(network, address string, c syscall.RawConn) error

	// ControlContext is Control with the dial's context, which ends with the dial, and with its Timeout. If it is set
	// Control is not called. Default nil.
	ControlContext func(ctx context.Context, network, address string, c syscall.RawConn) error

	// Resolver looks names up, on goroutines of package net's. A panic in its Dial function is the dial's error, a
	// *PanicError. Default nil: net.DefaultResolver.
	Resolver *net.Resolver

	// SameLoop puts the new stream on the loop of this one, which must be of the same Transport and may have ended.
	// Default nil: the Transport's Balance chooses.
	SameLoop *Stream

	// Socket are options of each socket, set before Control is called. They come after the defaults, which are
	// NoDelay(true) and KeepAlive(0, 0, 0). Default none.
	Socket []backend.SocketOption

	// TLS encrypts the stream, as a client. OnOpen comes, or Dial returns, when the handshake is done; Timeout and the
	// context bound that, too. A Config without ServerName gets the host of the address. It must not allow
	// renegotiation, and must not be changed any longer. Functions of the Config run on a goroutine of their own during
	// the handshake, where they may block, and later, such as Put of a ClientSessionCache, on the loop, where they must
	// not. On a CallerDriven Transport all of them run in Poll. Default nil: no TLS.
	TLS *tls.Config

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
	ctx, cancel := d.opts.timed(e.life, e.clock)
	d.lookup = cancel
	held := true // the engine, until all sockets are made
	defer func() {
		if held {
			e.dials.Done()
		}
	}()
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	if d.target.host != "" {
		held = false
		go func() {
			defer e.dials.Done()
			d.serve(ctx)
		}()
	}
	return d.stream, nil
}

// Dial dials and waits for the result, for its context and Timeout, and for the end of the loop. A stream that was
// connected before the context ended is returned alive. In a callback it returns an error at once, because nothing could
// happen while it waits, and so it does for a caller-driven Transport; use Connect there. Names are looked up and sockets
// made on the calling goroutine, and so in its network namespace.
func (e *Engine) Dial(ctx context.Context, network, address string, h Handler, o *DialOptions) (*Stream, error) {
	return e.dial(ctx, network, address, h, o, nil)
}

// dial is Dial. With given the descriptor goes there, once it is connected, and there is no stream.
func (e *Engine) dial(ctx context.Context, network, address string, h Handler, o *DialOptions, given chan<- backend.Descriptor) (*Stream, error) {
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
	}
	d, err := e.newDial(network, address, h, o)
	if err != nil {
		return nil, err
	}
	defer e.dials.Done()
	if err := ctx.Err(); err != nil {
		d.stream.loop.unpick()
		return nil, d.failure(err)
	}
	result := make(chan error, 1)
	d.waited, d.result, d.giveTo = true, result, given
	timed, stop := d.opts.timed(ctx, e.clock)
	defer stop()
	inner, cancel := context.WithCancel(timed)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	d.lookup = cancel
	if err := d.begin(inner); err != nil {
		return nil, err
	}
	if d.target.host != "" {
		d.serve(inner) // until the race is decided
	}
	if err := d.await(ctx, timed, result); err != nil {
		return nil, err
	}
	return d.stream, nil
}

// timed is ctx with the Timeout.
func (o *DialOptions) timed(ctx context.Context, clock backend.Clock) (context.Context, context.CancelFunc) {
	if o.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return clock.WithTimeout(ctx, o.Timeout)
}

// await waits for the result of a dial.
func (d *dial) await(ctx, timed context.Context, result <-chan error) error {
	select {
	case err := <-result:
		return err
	case <-timed.Done():
	case <-d.stream.loop.Done():
	}
	select {
	case err := <-result:
		return err
	default:
	}
	cause := net.ErrClosed // the loop has ended
	switch {
	case ctx.Err() != nil:
		cause = ctx.Err()
	case timed.Err() != nil:
		cause = os.ErrDeadlineExceeded
	}
	return d.giveUp(cause)
}

// giveUp ends a dial that is not decided with err. It returns how the dial has ended: nil if its stream is connected.
// Any goroutine.
func (d *dial) giveUp(err error) error {
	s := d.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.life.phase == dialing, s.life.phase == open && s.opts.dial != nil: // in its TLS handshake
		err = d.failure(err)
		s.rx.flow.Or(flowShut) // if it is being connected right now: there will be no OnOpen
		s.failLocked(err, s.loop.OnLoop())
		return err
	case s.opts.dial == nil:
		return nil
	}
	return s.life.cause()
}

// newDial checks the arguments of a dial and makes its stream. It keeps the engine from ending until dials.Done.
func (e *Engine) newDial(network, address string, h Handler, o *DialOptions) (*dial, error) {
	refuse := func(err error) (*dial, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if err := checkHandler(h); err != nil {
		return refuse(err)
	}
	d := &dial{network: network, running: map[*attempt]struct{}{}, wanted: make(chan backend.Address, 1)}
	if o != nil {
		d.opts = *o
	}
	opts, err := d.opts.StreamOptions.withDefaultsFrom(e.defaults).Complete()
	if err != nil {
		return refuse(fmt.Errorf("DialOptions.%w", err))
	}
	plain, multipath, err := plainNetwork(network)
	if err != nil {
		return refuse(err)
	}
	d.multi = multipath
	if d.target, err = parseTarget(plain, address, d.opts.LocalAddr); err != nil {
		return refuse(err)
	}
	if d.sockopt, err = newSocketOptions(plain, backend.OnDial, d.opts.Socket); err != nil {
		return refuse(err)
	}
	config, err := d.opts.clientTLS(address)
	if err != nil {
		return refuse(fmt.Errorf("DialOptions.%w", err))
	}
	if err := e.checkFiles("DialOptions", network, config != nil, d.opts.ReceiveFiles, opts); err != nil {
		return refuse(err)
	}
	if s := d.opts.SameLoop; s != nil && s.loop.engine != e {
		return refuse(errors.New("SameLoop is a stream of another Transport"))
	}
	if !e.holdEnd() {
		return refuse(net.ErrClosed)
	}
	if len(d.target.known) > 0 {
		d.first.Store(&d.target.known[0])
	}
	d.stream = newStream(e.loopOf(&d.opts, d.target), h, &origin{StreamOptions: *opts, dial: d})
	if config != nil {
		d.stream.tls = newTLS(d.stream, config, false)
	}
	return d, nil
}

// holdEnd keeps the engine from ending until dials.Done. It reports false if the engine shuts down already.
func (e *Engine) holdEnd() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down.Load() {
		return false
	}
	e.dials.Add(1)
	return true
}

// loopOf chooses the loop of a dial, as pick does.
func (e *Engine) loopOf(o *DialOptions, t target) *loop {
	switch {
	case o.SameLoop != nil:
		o.SameLoop.loop.load.Add(1)
		return o.SameLoop.loop
	case len(t.known) == 1:
		return e.pick(t.known[0])
	}
	return e.pick(backend.Address{})
}

// begin makes the sockets for addresses that are known, on the calling goroutine, and hands the dial to its loop. If it
// cannot, because the loop has ended, or Control panics or ends the goroutine, there is no stream and nothing is left.
func (d *dial) begin(ctx context.Context) error {
	l, begun := d.stream.loop, false
	defer func() {
		if !begun {
			d.lookup()
			d.closeMade()
			l.unpick()
		}
	}()
	if d.opts.Timeout >= 0 {
		for _, addr := range d.target.known {
			d.made = append(d.made, d.makeSocket(ctx, addr))
		}
	}
	d.deadline, _ = ctx.Deadline()
	if err := l.begin(d.start); err != nil {
		return d.failure(err)
	}
	begun = true
	return nil
}
