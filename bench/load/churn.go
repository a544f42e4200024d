//go:build linux

package load

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/bench/sockets"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

// churnTraffic connects, sends one message, checks its echo, closes, and starts again, on as many connections at once
// as Conns says. The time of a message starts before it connects. Connections are closed by a reset: otherwise each
// would keep its port for a minute, and none would be left within seconds.
//
//	connect ── handshake of the layer ── send the message ── receive its echo ── reset ── connect ...
type churnTraffic struct {
	unpaced
	g      *generator
	wire   wire
	slots  []churnSlot
	to     unix.Sockaddr
	family int
}

// churnSlot holds one connection at a time.
type churnSlot struct {
	fd        int // -1: none
	layer     layer
	seq       uint64
	connected bool
	opened    bool   // the handshake is over
	watched   uint32 // events
	want      []byte
	frames    []byte
	sent, got int
	began     time.Duration
}

func newChurnTraffic(g *generator) *churnTraffic {
	t := &churnTraffic{g: g, wire: newWire(g.Workload), slots: make([]churnSlot, g.Conns)}
	for i := range t.slots {
		t.slots[i].fd = -1
	}
	t.to, t.family = sockets.Sockaddr(g.Addr)
	return t
}

func (t *churnTraffic) open() error { return nil }

func (t *churnTraffic) begin(time.Duration) error {
	for i := range t.slots {
		t.busy++
		if err := t.connect(i, t.g.now()); err != nil {
			return err
		}
	}
	return nil
}

// connect begins the next connection of a slot.
func (t *churnTraffic) connect(i int, now time.Duration) error {
	s := &t.slots[i]
	fd, err := unix.Socket(t.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s.fd, s.layer, s.connected, s.opened, s.sent, s.got, s.began = fd, t.g.newLayer(i, fd), false, false, 0, 0, now
	s.want = t.wire.batch(i, s.seq, &s.frames)
	s.seq++
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return os.NewSyscallError("setsockopt SO_LINGER", err)
	}
	if err := sockets.NoDelay(fd); err != nil {
		return err
	}
	if err := unix.Connect(fd, t.to); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connection %d of slot %d: %w", s.seq, i, os.NewSyscallError("connect", err))
	}
	s.watched = unix.EPOLLOUT
	return t.g.watch(unix.EPOLL_CTL_ADD, fd, i, s.watched)
}

func (t *churnTraffic) ready(i int, events uint32) error {
	s := &t.slots[i]
	if !s.connected {
		if err := t.checkConnected(i); err != nil {
			return err
		}
		s.connected = true
	}
	if !s.opened {
		if over, err := s.layer.open(); !over || err != nil {
			return errors.Join(err, t.await(i, unix.EPOLLIN))
		}
		s.opened = true
		if err := t.checkResumed(i); err != nil {
			return err
		}
	}
	if s.sent < len(s.want) || s.layer.pending() {
		return t.send(i)
	}
	if !readable(events) {
		return nil
	}
	p, err := s.layer.read()
	if len(p) == 0 || err != nil {
		return err
	}
	return t.received(i, p)
}

func (t *churnTraffic) checkConnected(i int) error {
	s := &t.slots[i]
	e, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		err = unix.Errno(e)
	}
	if err != nil {
		return fmt.Errorf("connection %d of slot %d: %w", s.seq, i, os.NewSyscallError("connect", err))
	}
	return nil
}

// checkResumed returns an error if a handshake that was to resume the session of the one before it did not.
func (t *churnTraffic) checkResumed(i int) error {
	s := &t.slots[i]
	l, ok := s.layer.(*tlsLayer)
	if !ok || t.g.Kind != workload.KindTLSResume || s.seq == 1 || l.resumed() {
		return nil
	}
	return fmt.Errorf("connection %d of slot %d: the server has not resumed the session", s.seq, i)
}

// await watches for events, and for room to send if the layer needs it.
func (t *churnTraffic) await(i int, events uint32) error {
	s := &t.slots[i]
	if s.layer.pending() {
		events |= unix.EPOLLOUT
	}
	if s.watched == events {
		return nil
	}
	s.watched = events
	return t.g.watch(unix.EPOLL_CTL_MOD, s.fd, i, events)
}

// send sends the message. When all of it is sent, the slot waits for the echo.
func (t *churnTraffic) send(i int) error {
	s := &t.slots[i]
	if err := s.layer.flush(); err != nil {
		return err
	}
	if !s.layer.pending() && s.sent < len(s.want) {
		n, err := s.layer.write(s.want[s.sent:])
		if err != nil {
			return err
		}
		s.sent += n
	}
	if s.sent < len(s.want) {
		return t.await(i, unix.EPOLLOUT)
	}
	return t.await(i, unix.EPOLLIN)
}

func (t *churnTraffic) received(i int, p []byte) error {
	s := &t.slots[i]
	if err := t.wire.check(i, s.seq-1, s.want, s.got, p); err != nil {
		return err
	}
	if s.got += len(p); s.got < len(s.want) {
		return nil
	}
	s.layer.close()
	if err := unix.Close(s.fd); err != nil { // which takes it out of the set
		return os.NewSyscallError("close", err)
	}
	s.fd = -1
	now := t.g.now()
	t.g.count(1, now-s.began)
	if t.draining {
		t.busy--
		return nil
	}
	return t.connect(i, now)
}

func (t *churnTraffic) stalled(now time.Duration) error {
	for i := range t.slots {
		s := &t.slots[i]
		if late := now - s.began; s.fd >= 0 && late > t.g.Stall {
			return fmt.Errorf("stall: connection %d of slot %d has waited %v, and has %d of %d bytes",
				s.seq, i, late.Round(time.Millisecond), s.got, len(s.want))
		}
	}
	return nil
}

func (t *churnTraffic) close() {
	for i := range t.slots {
		if t.slots[i].fd >= 0 {
			t.slots[i].layer.close()
			_ = unix.Close(t.slots[i].fd)
		}
	}
}
