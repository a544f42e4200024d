//go:build linux

package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endless sends the beginning of a message that has no end soon, a byte at a time.
func endless(begin string) func(*peer) {
	return func(p *peer) {
		p.drip(10*time.Millisecond, func(i int) byte {
			if i < len(begin) {
				return begin[i]
			}
			return 'a'
		})
	}
}

// slowHeads sends the head of a request that has no end, a byte at a time.
func slowHeads(a *attackers) {
	a.crowd(a.Peers, httpService, nil, endless("GET /1 HTTP/1.1\r\nHost: a\r\nX-Long: "))
}

// drip sends messages that have no end soon, a byte at a time.
func drip(a *attackers) {
	a.each(
		func() { a.crowd(a.Peers/3, u64Service, nil, endless("\x00\x00\x01\x00\x00\x00\x00\x00")) },
		func() { a.crowd(a.Peers/3, "varint", nil, endless("\x80\x80\x04")) },
		func() { a.crowd(a.Peers/3, "line", nil, endless("")) },
	)
}

// halfOpen connects and says nothing; and others vanish without a word, as a machine does that loses its power.
func halfOpen(a *attackers) {
	a.each(
		func() { a.crowd(a.Peers*2/3, echoService, nil, (*peer).swallow) },
		func() {
			a.crowd(a.Peers/30, sourceService, nil, func(p *peer) {
				p.send(request(4 * kib))
				p.of.pause(200 * time.Millisecond) // so that few of them are there at a time
				p.vanish()
			})
		},
	)
}

// vanish lets the connection end here without a word to the server. That needs CAP_NET_ADMIN; without it the connection is
// only closed.
func (p *peer) vanish() {
	raw, err := p.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON)
	})
	p.end()
}

// tinyWindow is a control that makes the peer's window as small as it can be.
func tinyWindow(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	})
}

// tinySegments is a control that makes the segments as small as they can be.
func tinySegments(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 88)
	})
}
