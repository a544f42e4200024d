//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// place is an address where a server listens.
type place struct {
	network, address string

	// kind is what the server promises:
	//
	//	half       it answers all, also behind the client's end
	//	plain      it answers what it can before it closes at the client's end
	//	hasty      as half, but it gives up slow clients
	//	passing    its listener may be paused, closed, or full
	//	tls        as half, over TLS
	//	http, polled, polled http
	kind string
}

// world is what a client lives in: a life, or a process of its own.
type world interface {
	pick(r *rand.Rand, suits func(place) bool) (place, bool)
	excuse(shortages uint64, mayLack bool) string
}

// client is one client for one connection after the other.
type client struct {
	*soak
	world
	l         *life // nil in a process of its own
	r         *rand.Rand
	shortages uint64 // as of the beginning
	aborts    uint64 // of the kernel, for lack of memory, as of the beginning
	lenient   bool   // whatever happens to this connection may happen to it
	lacks     bool   // so may too few descriptors
	carries   int    // bytes, at most, that this connection does in one direction
	doing     string
}

var errNoPlace = errors.New("soak: no such address")

// place returns an address of one of some kinds.
func (k *client) place(kinds ...string) place {
	p, _ := k.pick(k.r, func(p place) bool {
		for _, kind := range kinds {
			if p.kind == kind {
				return true
			}
		}
		return false
	})
	if p.kind == "passing" {
		k.lenient = true
	}
	return p
}

// client is one of a life, until that ends.
func (l *life) client(r *rand.Rand) {
	k := &client{soak: l.soak, world: l, l: l, r: r}
	for !l.stopping.Load() {
		scenarios := everywhere
		if r.IntN(2) == 0 {
			scenarios = here
		}
		k.play(scenarios[r.IntN(len(scenarios))])
	}
}

// scenario is what a client does with one connection.
type scenario struct {
	name string
	play func(*client) error
}

// everywhere are those of net.Conns, and here those that need the life's Transport.
var everywhere = []scenario{
	{"talk", (*client).talk}, {"talk", (*client).talk}, {"talk", (*client).talk}, {"push", (*client).push}, {"idle", (*client).idle}, {"fail", (*client).fail},
	{"frames", (*client).frames}, {"http", (*client).http}, {"reset", (*client).reset}, {"connect", (*client).connect},
}

var here = []scenario{
	{"stream", (*client).stream}, {"stream", (*client).stream}, {"stream", (*client).stream}, {"framed stream", (*client).framedStream},
	{"framed session", (*client).framedSession}, {"WebSocket", (*client).webSocket}, {"http session", (*client).httpSession}, {"cancelled dial", (*client).cancelled},
}

// play plays a scenario, and judges what came of it.
func (k *client) play(x scenario) {
	k.shortages, k.lenient, k.lacks, k.carries, k.doing = k.soak.shortages.Load(), false, false, math.MaxInt, x.name
	k.aborts = k.memory.aborts()
	came := k.watch.expect("end of the scenario %q", x.name)
	defer came()
	err := x.play(k)
	var wrong *wrongBytes
	switch {
	case err == nil:
		k.count(done, "scenarios played: "+x.name)
	case errors.As(err, &wrong):
		k.wrong("a client, "+k.doing, err)
	case errors.Is(err, errNoPlace):
	case k.lenient:
		k.count(excused, "it was to be expected")
	case mayLack(err) && k.soak.shortages.Load() > 0:
		k.count(excused, "there were too few descriptors")
	case isReset(err) && k.memory.aborts() != k.aborts:
		k.count(excused, "the kernel was short of memory for TCP")
	default:
		if why := k.excuse(k.shortages, k.lacks); why != "" {
			k.count(excused, why)
			return
		}
		k.failf("a client, %s: %v", k.doing, err)
	}
	if err != nil {
		time.Sleep(time.Duration(k.r.IntN(3)) * time.Millisecond) // nothing spins when all dials fail
	}
}

// conn is what a client needs of a connection.
type conn interface {
	net.Conn
	CloseWrite() error
}

// window draws what to set SO_RCVBUF and SO_SNDBUF to, now and then; 0: nothing.
//
// Linux sends into the shortest windows very slowly. It cuts segments to half of the largest window that it has seen; when
// the window is shorter than that for good, such as 544 bytes after 1152, no segment ever fits, and what fits goes out
// when the persist timer fires, five times a second. For 300 kB that takes two minutes with 1 KiB, and one with 2 KiB.
func (k *client) window() int {
	if k.r.IntN(4) > 0 {
		return 0
	}
	k.count(faults, "short windows")
	if k.carries <= 20_000 {
		return 1 << (10 + k.r.IntN(5))
	}
	return 1 << (12 + k.r.IntN(3))
}

// dial connects by package net, now and then with short windows.
func (k *client) dial(p place) (conn, error) {
	if p.network == "" {
		return nil, errNoPlace
	}
	var d net.Dialer
	if size := k.window(); size > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, size)
			})
		}
	}
	k.doing += " on " + p.kind + ", " + p.network
	c, err := d.Dial(p.network, p.address)
	if err != nil {
		return nil, err
	}
	k.count(opened, "net.Conn, "+p.network)
	return c.(conn), nil
}

// writer writes in pieces.
type writer struct {
	c    io.Writer
	r    *rand.Rand
	drip bool
}

func (w *writer) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 1+w.r.IntN(20_000))
		if w.drip {
			n = min(len(p), 1+w.r.IntN(1+len(p)/10))
			time.Sleep(time.Duration(w.r.IntN(200)) * time.Microsecond)
		}
		if _, err := w.c.Write(p[:n]); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		p = p[n:]
	}
	return nil
}

// converse sends bytes from one position to another, and reads as many back.
func (k *client) converse(c conn, h header, from, to int) error {
	sent := make(chan error, 1)
	w := &writer{c: c, r: rand.New(rand.NewPCG(k.r.Uint64(), 4)), drip: k.r.IntN(6) == 0}
	if w.drip {
		k.count(faults, "drip-fed bytes")
	}
	go func() { sent <- w.write(pattern(h.key, from, to)) }()
	err := k.read(c, h.key, from, to)
	if err != nil {
		_ = c.Close() // the writer must not wait for ever
	}
	return errors.Join(err, <-sent)
}

// read reads bytes from one position to another, and verifies them.
func (k *client) read(c io.Reader, key uint64, from, to int) error {
	b := make([]byte, 1+k.r.IntN(16<<10))
	stall := -1
	if to > from && k.r.IntN(8) == 0 {
		k.count(faults, "peers that stop reading for a while")
		stall = from + k.r.IntN(to-from)
	}
	for at := from; at < to; {
		n, err := c.Read(b[:min(len(b), to-at)])
		if wrong := verify(b[:n], key, at); wrong != nil {
			return wrong
		}
		at += n
		k.verified.Add(uint64(n))
		if err != nil && at < to {
			return fmt.Errorf("read %d bytes of %d: %w", at, to, err)
		}
		if stall >= 0 && at > stall {
			stall = -1
			time.Sleep(time.Duration(k.r.IntN(300)) * time.Millisecond)
		}
	}
	return nil
}

// toEnd reads the end of the connection.
func (k *client) toEnd(c io.Reader) error {
	var b [16]byte
	n, err := c.Read(b[:])
	if n > 0 {
		return &wrongBytes{text: fmt.Sprintf("%x behind the last byte", b[:n])}
	}
	if err != io.EOF {
		return fmt.Errorf("instead of the end: %w", err)
	}
	return nil
}
