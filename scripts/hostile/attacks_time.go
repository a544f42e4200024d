//go:build linux

package main

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// slowHeads sends the head of a request that has no end, a byte at a time.
func slowHeads(a *attackers) {
	const head = "GET /1 HTTP/1.1\r\nHost: a\r\nX-Long: "
	a.crowd(a.Peers, httpService, nil, func(p *peer) {
		p.drip(10*time.Millisecond, func(i int) byte {
			if i < len(head) {
				return head[i]
			}
			return 'a'
		})
	})
}

// drip sends messages that have no end soon, a byte at a time.
func drip(a *attackers) {
	begin := map[string]string{
		u64Service: "\x00\x00\x01\x00\x00\x00\x00\x00",
		"varint":   "\x80\x80\x04",
		"line":     "",
	}
	part := func(service string) func() {
		return func() {
			head := begin[service]
			a.crowd(a.Peers/len(begin), service, nil, func(p *peer) {
				p.drip(10*time.Millisecond, func(i int) byte {
					if i < len(head) {
						return head[i]
					}
					return 'a'
				})
			})
		}
	}
	a.each(part(u64Service), part("varint"), part("line"))
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
