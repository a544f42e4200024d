//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// generator is the client: one epoll loop over all connections, on one thread. It receives as the floor does, looking
// before it sleeps, so that it costs no more than the cheapest server.
type generator struct {
	loadConfig
	pattern *pattern
	ep      int
	conns   []loadConn
	events  [512]unix.EpollEvent
	buf     []byte

	epoch     time.Time // all times below and in connections count from here
	latencies latencies
	messages  int64
	waiting   int // connections that wait for answers
	nextCheck time.Duration
	draining  bool // take what is under way, send nothing new
}

// loadConn is one connection. Exactly one batch of messages is under way on it, or none.
type loadConn struct {
	fd       int
	seq      uint64        // batches begun
	want     []byte        // the batch; what comes back must be the same
	sent     int           // bytes of it
	got      int           // bytes of it
	began    time.Duration // when its first byte was sent
	blocked  bool          // waits for room to send
	complete bool          // all of it came back
}

// receiveBuffer is what one look at a connection can take.
const receiveBuffer = 256 << 10

func newGenerator(config loadConfig) (*generator, error) {
	g := &generator{
		loadConfig: config,
		pattern:    newPattern(config.Size * config.Depth),
		buf:        make([]byte, receiveBuffer),
		latencies:  newLatencies(),
		epoch:      time.Now(),
		conns:      make([]loadConn, 0, config.Conns),
	}
	var err error
	if g.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	for i := range config.Conns {
		if err := g.open(i); err != nil {
			g.close()
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return g, nil
}

func (g *generator) open(i int) error {
	fd, err := dialTCP(g.Addr, g.Stall)
	if err != nil {
		return err
	}
	g.conns = append(g.conns, loadConn{fd: fd})
	return g.watch(i, unix.EPOLL_CTL_ADD, unix.EPOLLIN)
}

// watch sets what wakes the loop for connection i. The event carries the index where others carry the descriptor.
func (g *generator) watch(i, op int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(i)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(g.ep, op, g.conns[i].fd, &e))
}

func (g *generator) close() {
	for i := range g.conns {
		_ = unix.Close(g.conns[i].fd)
	}
	_ = unix.Close(g.ep)
}

func (g *generator) now() time.Duration { return time.Since(g.epoch) }

// run warms up, measures, and then waits for every answer that is still due, so that a lost one is found.
func (g *generator) run() (loadResult, error) {
	for i := range g.conns {
		g.waiting++
		if err := g.start(i, g.now()); err != nil {
			return loadResult{}, err
		}
	}
	if err := g.loop(g.now() + g.Warmup); err != nil {
		return loadResult{}, err
	}
	r, err := g.measure()
	if err != nil {
		return loadResult{}, err
	}
	g.draining = true
	return r, g.loop(-1)
}

// loop serves the connections until the given time, or, if that is negative, until none waits for an answer.
func (g *generator) loop(until time.Duration) error {
	for {
		now := g.now()
		if until >= 0 && now >= until || until < 0 && g.waiting == 0 {
			return nil
		}
		if now >= g.nextCheck {
			if err := g.checkStalled(now); err != nil {
				return err
			}
			g.nextCheck = now + g.Stall/4
		}
		sleep := g.nextCheck - now
		if until >= 0 {
			sleep = min(sleep, until-now)
		}
		n, err := waitReady(g.ep, g.events[:], int(sleep.Milliseconds())+1)
		if err != nil {
			return fmt.Errorf("wait for events: %w", os.NewSyscallError("epoll_pwait", err))
		}
		for i := range g.events[:n] {
			if err := g.serve(int(g.events[i].Fd), g.events[i].Events); err != nil {
				return err
			}
		}
	}
}

// checkStalled finds a connection whose answer is overdue.
func (g *generator) checkStalled(now time.Duration) error {
	for i := range g.conns {
		c := &g.conns[i]
		if late := now - c.began; !c.complete && late > g.Stall {
			return fmt.Errorf("stall: connection %d has waited %v for an answer, and has %d of %d bytes",
				i, late.Round(time.Millisecond), c.got, len(c.want))
		}
	}
	return nil
}

// serve handles what epoll says about one connection.
func (g *generator) serve(i int, events uint32) error {
	c := &g.conns[i]
	if events&unix.EPOLLOUT != 0 && c.blocked {
		if err := g.send(i); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	n, err := recvNow(c.fd, g.buf)
	switch {
	case err == unix.EAGAIN:
		return nil
	case err != nil:
		return fmt.Errorf("connection %d: %w", i, os.NewSyscallError("recv", err))
	case n == 0:
		return fmt.Errorf("connection %d: the server closed it: %w", i, io.ErrUnexpectedEOF)
	}
	return g.received(i, g.buf[:n])
}

// received checks what came back, counts the messages that are complete, and sends the next batch after the last.
func (g *generator) received(i int, p []byte) error {
	c := &g.conns[i]
	if len(p) > c.sent-c.got {
		return fmt.Errorf("connection %d: %d bytes more came back than were sent", i, len(p)-(c.sent-c.got))
	}
	if at := firstDifference(p, c.want[c.got:c.got+len(p)]); at >= 0 {
		return g.wrong(i, p, at)
	}
	before := c.got / g.Size
	c.got += len(p)
	now := g.now()
	if n := c.got/g.Size - before; n > 0 {
		g.latencies.record(now-c.began, n)
		g.messages += int64(n)
	}
	switch {
	case c.got < len(c.want):
		return nil
	case g.draining:
		c.complete = true
		g.waiting--
		return nil
	default:
		return g.start(i, now)
	}
}

func (g *generator) wrong(i int, p []byte, at int) error {
	c := &g.conns[i]
	in := c.got + at
	return &wrongByte{
		Conn:    i,
		Message: (c.seq-1)*uint64(g.Depth) + uint64(in/g.Size),
		Offset:  in % g.Size,
		Got:     p[at],
		Want:    c.want[in],
	}
}

// start sends the next batch of connection i.
func (g *generator) start(i int, now time.Duration) error {
	c := &g.conns[i]
	c.want = g.pattern.batch(i, c.seq, g.Size*g.Depth)
	c.seq++
	c.sent, c.got, c.began = 0, 0, now
	return g.send(i)
}

// send sends what the kernel takes, and has the rest sent when there is room.
func (g *generator) send(i int) error {
	c := &g.conns[i]
	n, err := sendNow(c.fd, c.want[c.sent:])
	if err != nil && err != unix.EAGAIN {
		return fmt.Errorf("connection %d: %w", i, os.NewSyscallError("send", err))
	}
	c.sent += n
	blocked := c.sent < len(c.want)
	if blocked == c.blocked {
		return nil
	}
	c.blocked = blocked
	events := uint32(unix.EPOLLIN)
	if blocked {
		events |= unix.EPOLLOUT
	}
	return g.watch(i, unix.EPOLL_CTL_MOD, events)
}
