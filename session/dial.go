package session

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// DialOptions are what one dial does differently. The zero value is right.
type DialOptions struct {
	// Timeout bounds the whole dial, names included. Default 0: only the context and the kernel do.
	Timeout time.Duration

	// LocalAddr is the address to dial from, a *net.TCPAddr or *net.UnixAddr. Default nil: the kernel chooses.
	LocalAddr net.Addr

	// Control is called on the loop with each socket before it is connected, as in net.Dialer.
	Control func(network, address string, c syscall.RawConn) error

	// Socket are options of each socket, set before Control is called. They come after the defaults, which are
	// NoDelay(true) and KeepAlive(0, 0, 0). Default none.
	Socket []backend.SocketOption

	// StreamOptions are those of the stream, where they are not the Transport's.
	StreamOptions
}

// attemptDelay is how long a dial waits for one address before it tries the next beside it: the Connection Attempt
// Delay of RFC 8305, section 5.
const attemptDelay = 250 * time.Millisecond

// dial is a stream that is not connected yet: a race of attempts, one for each address, begun one after another. It
// belongs to the loop.
type dial struct {
	stream  *Stream
	network string
	opts    DialOptions
	sockopt socketOptions
	todo    []backend.Address
	running map[*attempt]struct{}
	err     error // of the first attempt that failed
	delay   backend.Timer
	timeout backend.Timer
	over    bool // decided: an attempt has won, or the stream has ended
	lookup  context.CancelFunc
	result  chan error // for Dial, which waits; nil for Connect
}

// attempt is one socket that connects.
type attempt struct {
	backend.NoEvents
	dial   *dial
	sock   backend.Socket
	addr   backend.Address
	winner bool
}

// Connect begins to dial and returns at once: OnOpen, or OnClose with the error, tells the result. It may be called
// from any goroutine, also in callbacks. What is written before OnOpen is sent after it. The error it returns itself is
// for arguments that no dial could honour.
func (e *Engine) Connect(network, address string, h Handler, o *DialOptions) (*Stream, error) {
	return e.connect(network, address, h, o, nil)
}

// Dial dials and waits for the result. In a callback, or on the goroutine that drives a caller-driven Transport, it
// returns an error at once, because nothing could happen while it waits; use Connect there.
func (e *Engine) Dial(ctx context.Context, network, address string, h Handler, o *DialOptions) (*Stream, error) {
	refuse := func(err error) (*Stream, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if e.onLoop() || e.driven {
		return refuse(backend.ErrOnLoop)
	}
	if err := ctx.Err(); err != nil {
		return refuse(err)
	}
	result := make(chan error, 1)
	s, err := e.connect(network, address, h, o, result)
	if err != nil {
		return nil, err
	}
	select {
	case err = <-result:
	case <-ctx.Done():
		s.failed(&net.OpError{Op: "dial", Net: network, Err: ctx.Err()})
		err = <-result // nil if it was connected already: then it is the caller's
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (e *Engine) connect(network, address string, h Handler, o *DialOptions, result chan error) (*Stream, error) {
	if h == nil {
		return nil, errors.New("tandem: dial: Handler is nil")
	}
	d := &dial{network: network, running: map[*attempt]struct{}{}, result: result}
	if o != nil {
		d.opts = *o
	}
	opts, err := d.opts.StreamOptions.over(e.defaults).Complete()
	if err != nil {
		return nil, err
	}
	t, err := parseTarget(network, address)
	if err == nil {
		d.sockopt, err = newSocketOptions(network, backend.OnDial, d.opts.Socket, d.opts.Control)
	}
	if len(d.opts.Socket) > 0 {
		d.opts.Control = d.sockopt.control
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	if len(t.known) == 1 {
		d.stream = newStream(e.pick(t.known[0]), h, opts)
	} else {
		d.stream = newStream(e.pick(backend.Address{}), h, opts)
	}
	s := d.stream
	s.dial = d
	if err := s.loop.begin(func() { d.start(t) }); err != nil {
		s.loop.unpick()
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return s, nil
}

// start begins on the loop: at once if the address is known, else when its name has been looked up.
func (d *dial) start(t target) {
	s := d.stream
	if s.loop.draining {
		d.fail(d.opError(backend.Address{}, net.ErrClosed))
		return
	}
	s.loop.dialing[s] = struct{}{}
	d.delay.Fire = d.next
	if d.opts.Timeout > 0 {
		d.timeout.Fire = func() { d.fail(d.opError(backend.Address{}, os.ErrDeadlineExceeded)) }
		s.loop.StartTimer(&d.timeout, d.opts.Timeout)
	}
	if t.host == "" {
		d.todo = t.known
		d.next()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.lookup = cancel
	e := s.loop.engine
	e.lookups.Add(1)
	go func() {
		defer e.lookups.Done()
		addrs, err := t.resolve(ctx)
		_ = s.loop.Post(backend.TaskFunc(func() { d.resolved(addrs, err) }))
	}()
}

func (d *dial) resolved(addrs []backend.Address, err error) {
	if d.over || d.stream.ended() {
		return
	}
	if err != nil {
		d.fail(d.opError(backend.Address{}, err))
		return
	}
	d.todo = addrs
	d.next()
}

// next begins the next attempt, and sees to the one after it.
func (d *dial) next() {
	loop := d.stream.loop
	loop.StopTimer(&d.delay)
	for len(d.todo) > 0 && !d.over && !d.stream.ended() {
		addr := d.todo[0]
		d.todo = d.todo[1:]
		if d.try(addr) {
			if len(d.todo) > 0 && !d.over {
				loop.StartTimer(&d.delay, attemptDelay)
			}
			return
		}
	}
	if len(d.running) == 0 && !d.over {
		d.fail(d.err)
	}
}

// try begins to connect to addr. It reports false if that failed at once.
func (d *dial) try(addr backend.Address) bool {
	fd, err := d.socket(addr)
	if err != nil {
		d.note(addr, err)
		return false
	}
	err = backend.ConnectTo(fd, addr)
	if err == nil {
		d.connected(fd)
		return true
	}
	if err != syscall.EINPROGRESS {
		backend.CloseFD(fd)
		d.note(addr, os.NewSyscallError("connect", err))
		return false
	}
	a := &attempt{dial: d, addr: addr}
	a.sock = backend.Socket{FD: fd, Owner: a}
	if err := d.stream.loop.Driver.Attach(&a.sock); err != nil {
		backend.CloseFD(fd)
		d.note(addr, err)
		return false
	}
	d.running[a] = struct{}{}
	d.stream.loop.Driver.Connect(&a.sock)
	return true
}

// Connected implements backend.Events.
func (a *attempt) Connected(err error) {
	d := a.dial
	if d.over {
		return // it is being released already
	}
	if err == nil && selfConnected(a.sock.FD) {
		err = syscall.ECONNREFUSED
	}
	a.winner = err == nil
	if a.winner {
		d.decide(a)
	}
	d.stream.loop.Driver.Release(&a.sock)
	if !a.winner {
		d.note(a.addr, os.NewSyscallError("connect", err))
	}
}

// Released implements backend.Events.
func (a *attempt) Released() {
	d := a.dial
	delete(d.running, a)
	switch {
	case a.winner:
		d.connected(a.sock.FD)
	default:
		backend.CloseFD(a.sock.FD)
		if !d.over {
			d.next()
		}
	}
	if d.over && len(d.running) == 0 && d.stream.isReleasing() {
		d.stream.finish()
	}
}

// decide ends the race: all attempts but the winner are given up.
func (d *dial) decide(winner *attempt) {
	d.over = true
	loop := d.stream.loop
	loop.StopTimer(&d.delay)
	loop.StopTimer(&d.timeout)
	if d.lookup != nil {
		d.lookup()
	}
	for a := range d.running {
		if a != winner {
			loop.Driver.Release(&a.sock)
		}
	}
}

// connected gives the stream its descriptor, unless it has ended meanwhile.
func (d *dial) connected(fd int) {
	if !d.over {
		d.decide(nil)
	}
	s := d.stream
	delete(s.loop.dialing, s)
	if s.ended() {
		backend.CloseFD(fd)
		if len(d.running) == 0 && s.isReleasing() {
			s.finish()
		}
		return
	}
	if err := d.sockopt.connected(fd); err != nil {
		backend.CloseFD(fd)
		d.fail(d.opError(backend.Address{}, err))
		return
	}
	s.attach(fd, backend.Address{})
	if s.opened {
		d.tell(nil)
	}
}

// cancel gives up: the stream has ended. It finishes when no attempt is left.
func (d *dial) cancel() {
	delete(d.stream.loop.dialing, d.stream)
	if !d.over {
		d.decide(nil)
	}
	if len(d.running) == 0 {
		d.stream.finish()
	}
}

// tell answers Dial, once.
func (d *dial) tell(err error) {
	if d.result != nil {
		d.result <- err
		d.result = nil
	}
}

// fail ends the stream with err.
func (d *dial) fail(err error) {
	d.stream.failed(err)
}

// note keeps the first error, which is the one that is told: it is of the address that was preferred.
func (d *dial) note(addr backend.Address, err error) {
	if d.err == nil {
		d.err = d.opError(addr, err)
	}
}

func (d *dial) opError(addr backend.Address, err error) error {
	op := &net.OpError{Op: "dial", Net: d.network, Source: d.opts.LocalAddr, Err: err}
	if a := addr.NetAddr(); a != nil {
		op.Addr = a
	}
	return op
}

// ended tells whether the stream has ended while it was being dialled.
func (s *Stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase > dialing
}

func (s *Stream) isReleasing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == releasing
}

// loopDied gives up, without the loop.
func (d *dial) loopDied(error) {
	d.over = true
	if d.lookup != nil {
		d.lookup()
	}
	for a := range d.running {
		backend.CloseFD(a.sock.FD)
	}
	clear(d.running)
}
