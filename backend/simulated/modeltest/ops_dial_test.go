package modeltest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/session"
)

// opConnect dials a target, or the engine's own listener, or nobody.
func opConnect(w *world, o Op) {
	d := &dialResult{began: w.now()}
	network, address := "tcp", "127.0.0.1:9"
	opts := &session.DialOptions{}
	switch (o.N + 3*o.On) % 8 {
	case 0: // nobody
		d.errno = syscall.ECONNREFUSED
	case 1:
		network, address = "unix", "/nobody"
		d.errno = syscall.ECONNREFUSED
	case 2: // somebody who does not answer
		t := w.newTarget(false)
		t.l.Silent(true)
		address, d.silent = t.l.Addr().String(), true
	case 3: // on any address of this host: two attempts, of which the first is refused
		d.first = syscall.ECONNREFUSED
		_, port, _ := net.SplitHostPort(w.newTarget(false).l.Addr().String())
		address = net.JoinHostPort("::", port)
	case 4:
		network, address = "unix", w.newTarget(true).l.Addr().String()
	case 5: // itself
		if len(w.listeners) == 0 {
			return
		}
		l := w.listeners[o.On%len(w.listeners)]
		network, address = l.l.Addr().Network(), l.l.Addr().String()
		l.dials++
		d.own = l
		opts.TLS = w.clientTLS()
		d.errno = syscall.ECONNREFUSED // it may be closed
	default:
		address = w.newTarget(false).l.Addr().String()
	}
	if network == "tcp" && o.N%11 == 0 {
		network, address = "tcp4", w.named(address, o.On%2 == 1)
		d.first = syscall.ECONNREFUSED // nobody answers at the first address
		opts.Resolver = w.k.Resolver()
	}
	if o.N%9 == 1 {
		w.control(opts, d, o.N)
	}
	if o.N%5 == 1 {
		d.timeout = time.Duration(1+o.N%700) * time.Millisecond
		opts.Timeout = d.timeout
	}
	if m := w.stream(o.Via); m != nil && o.N%3 == 1 && m.s != nil {
		opts.SameLoop = m.s
	}
	if o.Do == "Dial" && w.p.stepped() && w.current < 0 && !w.down {
		w.dial(network, address, opts, d)
		return
	}
	w.connect(network, address, opts, d)
}

// opDial is opConnect that waits, where that is possible.
func opDial(w *world, o Op) { opConnect(w, o) }

// named gives the host of an address a name, with an address before it at which nobody listens, or somebody who does not
// answer: then two attempts run at a time.
func (w *world) named(address string, silent bool) string {
	host, port, _ := net.SplitHostPort(address)
	ip := netip.MustParseAddr(host)
	if !ip.Is4() {
		return address
	}
	first := netip.MustParseAddr("192.0.2.1")
	if silent {
		if l, err := w.k.Listen("tcp", net.JoinHostPort(first.String(), port)); err == nil { // else there is one
			l.Silent(true)
		}
	}
	w.k.Name("host.test", first, ip)
	return "host.test.:" + port
}

var errControl = errors.New("what Control returns")

// control has a Control function, which may refuse the socket.
func (w *world) control(opts *session.DialOptions, d *dialResult, n int) {
	if n%2 == 0 {
		d.control = errControl
	}
	opts.Control = func(network, address string, c syscall.RawConn) error {
		if network == "" || address == "" || c == nil {
			w.failf("S26: Control(%q, %q, %v)", network, address, c)
		}
		if n%4 == 0 {
			panic(panicValue)
		}
		return d.control
	}
}

// dial dials on a goroutine of its own, which waits.
func (w *world) dial(network, address string, opts *session.DialOptions, d *dialResult) {
	options, _ := w.p.options().Complete()
	m := w.newStream(nil, dialled, *options)
	m.dial, m.unix = d, network == "unix"
	h := w.newHandler(nil, m)
	m.handle = h.base()
	ctx, cancel := w.k.Clock().WithTimeout(context.Background(), 2*time.Second)
	if d.timeout == 0 {
		d.timeout = 2 * time.Second
	}
	w.goAsync("Dial", func() {
		defer cancel()
		s, err := w.e.Dial(ctx, network, address, h, opts)
		switch {
		case err == nil && (m.s != s || !m.opened):
			m.failf("S26: Dial returns a stream that has not opened")
		case err == nil:
		case m.opened || m.closes > 0:
			m.failf("S26: Dial returns %w, after a callback", err)
		default:
			m.closes++ // there never was one
			if !w.down && len(w.failing) == 0 {
				d.check(m, err)
			}
		}
	})
}

func (w *world) connect(network, address string, opts *session.DialOptions, d *dialResult) {
	options, _ := w.p.options().Complete()
	m := w.newStream(nil, dialled, *options)
	m.dial, m.unix = d, network == "unix"
	h := w.newHandler(nil, m)
	m.handle = h.base()
	s, err := w.e.Connect(network, address, h, opts)
	_ = w.refused("Connect", err)
	if err != nil {
		m.closes++ // there never was one
		if !w.dead && !w.down && len(w.failing) == 0 {
			m.failf("S26: Connect: %w", err)
		}
		return
	}
	m.s = s
	w.of[s] = m
	if opts.SameLoop != nil && s.Loop() != opts.SameLoop.Loop() {
		m.failf("S26: SameLoop: it is on loop %d; want %d", s.Loop(), opts.SameLoop.Loop())
	}
}
