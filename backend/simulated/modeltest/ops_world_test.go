package modeltest

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// operations are what a Program may do.
var operations map[string]func(w *world, o Op)

// streamOps are those on streams, of which every pair is tried.
var streamOps = map[string]func(w *world, o Op){
	"Write":         onStream((*stream).opWrite),
	"Writev":        onStream((*stream).opWritev),
	"WritePart":     onStream((*stream).opWritePart),
	"WriteNotify":   onStream((*stream).opWriteNotify),
	"WriteBuffer":   onItsLoop((*stream).opWriteBuffer),
	"Flush":         onStream((*stream).opFlush),
	"CloseWrite":    onStream((*stream).opCloseWrite),
	"Close":         onStream(func(m *stream, _ int) { m.opClose() }),
	"CloseInStages": onStream((*stream).opCloseInStages),
	"Abort":         onStream((*stream).opAbort),
	"PauseRead":     onStream((*stream).opPause),
	"ResumeRead":    onStream((*stream).opResume),
	"Post":          onStream((*stream).opPost),
	"After":         onStream((*stream).opAfter),
	"Every":         onStream((*stream).opEvery),
	"Stop":          onStream((*stream).opStop),
	"Idle":          onStream((*stream).opIdle),
	"Detach":        onStream((*stream).opDetach),
	"NotifyDetach":  onStream(func(m *stream, n int) { m.opWriteNotify(n); m.opDetach(n) }),
	"Inspect":       onStream((*stream).opInspect),
	"Peek":          onItsLoop((*stream).opPeek),
	"Next":          onItsLoop((*stream).opNext),
	"Discard":       onItsLoop((*stream).opDiscard),
	"Read":          onItsLoop((*stream).opRead),
	"WriteTo":       onItsLoop((*stream).opWriteTo),
	"Take":          onItsLoop((*stream).opTake),
	"SetHandler":    onItsLoop((*stream).opSetHandler),
	"SetValue":      onItsLoop((*stream).opValue),
	"Panic":         opPanic,
	"Goexit":        opGoexit,
	"Options":       onStream((*stream).opOptions),
	"Choke":         onStream((*stream).opChoke),
}

// worldOps are all others.
var worldOps = map[string]func(w *world, o Op){
	"Listen":     opListen,
	"Unlisten":   onListener(func(w *world, l *listener, _ int) { w.unlisten(l) }),
	"PauseAcc":   onListener(func(_ *world, l *listener, _ int) { l.l.PauseAccept(); l.paused = true }),
	"ResumeAcc":  onListener(func(_ *world, l *listener, _ int) { l.l.ResumeAccept(); l.paused = false }),
	"PeerDial":   opPeerDial,
	"Connect":    opConnect,
	"Adopt":      opAdopt,
	"PeerSend":   onPeer(func(p *peer, n int) { p.send(n) }),
	"PeerFinish": onPeer(func(p *peer, _ int) { p.finished = true; p.p.Finish() }),
	"PeerClose":  onPeer(func(p *peer, _ int) { p.over = true; p.p.Close() }),
	"PeerReset":  onPeer(func(p *peer, _ int) { p.over, p.reset = true, true; p.p.Reset() }),
	"PeerCut":    onPeer((*peer).cut),
	"PeerStop":   onPeer(func(p *peer, n int) { p.stop(n%3 != 0) }),
	"PeerVanish": onPeer(func(p *peer, n int) { p.vanished = true; p.p.Vanish(n%3 != 0) }),
	"Release":    func(w *world, o Op) { w.release(o.On) },
	"Shortage":   opShortage,
	"Faults":     func(w *world, o Op) { w.setFaults(o.N) },
	"Fail":       opFail,
	"Turns":      opTurns,
	"Pass":       opPass,
	"ConnWrite":  onConn(func(c *conn, n int) { c.do(func() { c.write(n) }) }),
	"ConnClose":  onConn(func(c *conn, _ int) { c.do(c.close) }),
	"ConnFinish": onConn(func(c *conn, _ int) { c.do(c.finish) }),
	"ConnLimit":  onConn((*conn).limit),
	"ConnLook":   onConn((*conn).look),
	"Dial":       opDial,
}

func init() {
	operations = map[string]func(w *world, o Op){}
	for name, fn := range streamOps {
		operations[name] = fn
	}
	for name, fn := range worldOps {
		operations[name] = fn
	}
}

// opPanic panics in a callback. Elsewhere it does nothing.
func opPanic(w *world, o Op) {
	if m := w.stream(o.Via); w.current >= 0 && m != nil && w.inside[w.current] == m.number {
		m.opPanic(o.N)
	}
}

// opGoexit ends the goroutine of a loop, in a callback. Elsewhere it does nothing.
func opGoexit(w *world, o Op) {
	m := w.stream(o.Via)
	if !w.p.stepped() || w.current < 0 || m == nil || w.inside[w.current] != m.number || o.chance()%2 != 1 {
		return
	}
	w.goexit()
}

// goexit ends the goroutine of the loop whose callback calls it.
func (w *world) goexit() {
	w.failing[w.current], w.trouble = backend.ErrGoexit, true
	runtime.Goexit()
}

func onPeer(fn func(p *peer, n int)) func(w *world, o Op) {
	return func(w *world, o Op) {
		if len(w.peers) > 0 {
			fn(w.peers[o.On%len(w.peers)], o.N)
		}
	}
}

func onListener(fn func(w *world, l *listener, n int)) func(w *world, o Op) {
	return func(w *world, o Op) {
		if len(w.listeners) > 0 {
			fn(w, w.listeners[o.On%len(w.listeners)], o.N)
		}
	}
}

func opListen(w *world, o Op) {
	if w.p.stepped() && w.current < 0 && w.inFlight {
		return // on an address that is taken it waits
	}
	network, address := "tcp", "127.0.0.1:0"
	l := &listener{unix: o.N%4 == 1}
	if l.unix {
		network, address = "unix", fmt.Sprintf("/listener/%d", len(w.listeners))
	}
	l.handler = w.newHandler(l, nil)
	var err error
	l.l, err = w.e.Listen(network, address, l.handler, &session.ListenOptions{
		MaxConns: w.p.MaxConns, RejectOverLimit: w.p.Reject, TLS: w.serverTLS(),
	})
	switch {
	case w.refused("Listen", err):
	case err == nil:
		w.listeners = append(w.listeners, l)
	case w.dead, len(w.failing) == len(w.drivers), isScarce(err) && w.scarce():
	default:
		w.failf("S25: Listen: %w", err)
	}
}

// refused checks that nothing new begins when the engine ends, and reports whether it does.
func (w *world) refused(what string, err error) bool {
	if w.down && !errors.Is(err, net.ErrClosed) && len(w.failing) == 0 && !(isScarce(err) && w.scarce()) {
		w.failf("S32: %s while the engine ends: %w", what, errOrNil(err))
	}
	return w.down
}

// unlisten closes a listener.
func (w *world) unlisten(l *listener) {
	l.closed = true
	end := func() {
		if err := l.l.Close(); err != nil && !w.dead {
			w.failf("S29: Close of a listener: %w", err)
		}
		if l.l.Err() == nil {
			w.failf("S29: Err is nil after Close")
		}
	}
	if w.current >= 0 || !w.p.stepped() && !w.inFlight {
		end()
	} else {
		w.goAsync("Close of a listener", end) // it waits for the loop
	}
}

// opPeerDial has a peer connect to a listener.
func opPeerDial(w *world, o Op) {
	if len(w.listeners) == 0 {
		return
	}
	if w.p.TLS { // a peer does not know how
		o.N += (5 + 7*(o.N+3*o.On)) % 8
		opConnect(w, o)
		return
	}
	l := w.listeners[o.On%len(w.listeners)]
	network := "tcp"
	if l.unix {
		network = "unix"
	}
	p, err := w.k.Dial(network, l.l.Addr().String())
	if err != nil {
		w.failf("a peer's dial: %w", err)
		return
	}
	q := w.newPeer(p, l.unix)
	q.from = l
	l.dials++
	if o.N > 0 {
		q.send(o.N)
	}
}

func opAdopt(w *world, o Op) {
	network := map[bool]string{true: "unix", false: "tcp"}[o.N%3 == 1]
	c, p, err := w.k.NewConn(network)
	if err != nil {
		if !isScarce(err) || !w.scarce() {
			w.failf("a connection: %w", err)
		}
		return
	}
	q := w.newPeer(p, network == "unix")
	options, _ := w.p.options().Complete()
	m := w.newStream(nil, adopted, *options)
	m.unix = q.unix
	h := w.newHandler(nil, m)
	m.handle = h.base()
	w.pair(q, m)
	s, err := w.e.Adopt(c, h)
	_ = w.refused("Adopt", err)
	if err != nil {
		_ = c.Close()
		m.closes++
		q.over = true
		if !w.dead && !(isScarce(err) && w.scarce()) && !errors.Is(err, net.ErrClosed) {
			m.failf("S30: Adopt: %w", err)
		}
		return
	}
	m.s = s
	w.of[s] = m
}

func opShortage(w *world, o Op) {
	errs := []error{nil, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}
	err := errs[o.N%len(errs)]
	w.shortage = w.shortage || err != nil
	w.k.Shortage(err)
}

// opFail has the driver of a loop fail.
func opFail(w *world, o Op) {
	i := o.On % len(w.drivers)
	if o.chance()%4 != 1 && !(o.N%5 == 1 && w.parked()) {
		return // seldom
	}
	switch o.N % 5 {
	case 0: // and the next, to which its listeners move
		w.fail((i + 1) % len(w.drivers))
	case 1: // and the last of all cannot take them
		w.shortage = true
		w.k.Shortage(syscall.ENOBUFS)
		for j := range len(w.drivers) - 1 {
			w.fail(j)
		}
		return
	default: // and who is told of that ends the goroutine
		for _, m := range w.streams {
			if w.p.stepped() && m.s != nil && !m.opened && !m.over() && m.loop() == i {
				m.writeNotify(10, w.goexit)
			}
		}
	}
	w.fail(i)
}

// parked reports whether a listener has accepted more than it may open.
func (w *world) parked() bool {
	return slices.ContainsFunc(w.listeners, func(l *listener) bool { return l.l.Stats().Parked > 0 })
}

func (w *world) fail(i int) {
	w.failing[i] = errors.New("it was told to")
	w.trouble = true
	w.drivers[i].Fail()
}

func opTurns(w *world, o Op) {
	if w.current >= 0 || w.inFlight {
		return
	}
	for range o.N%8 + 1 {
		w.step(5 * time.Millisecond)
	}
}

// opPass lets time pass, in turns.
func opPass(w *world, o Op) {
	if w.current >= 0 || w.inFlight {
		w.k.Spend(time.Duration(o.N%500) * time.Microsecond)
		return
	}
	until := w.now() + time.Duration(o.N)*time.Microsecond
	for i := 0; w.now() < until && i < 1000 && w.err == nil; i++ {
		w.step(until - w.now())
	}
}
