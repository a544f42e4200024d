//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// request is a line that asks the source for so many bytes.
func request(n int) []byte { return append(strconv.AppendInt(nil, int64(n), 10), '\n') }

// neverReaders asks for as much as it can, and reads none of it.
func neverReaders(a *attackers) {
	ask := func(b []byte) func(*peer) {
		return func(p *peer) {
			for p.send(b) {
			}
		}
	}
	a.each(
		func() { a.crowd(a.Peers/2, sourceService, tinyWindow, ask(bytes.Repeat(request(largestAnswer), 50))) },
		func() { a.crowd(a.Peers/2, echoService, tinyWindow, ask(make([]byte, 64*kib))) },
	)
}

// pipelines sends requests without end, and reads no answer.
func pipelines(a *attackers) {
	some := bytes.Repeat([]byte("GET /65536 HTTP/1.1\r\nHost: a\r\n\r\n"), 100)
	a.crowd(a.Peers, httpService, tinyWindow, func(p *peer) {
		for p.send(some) {
		}
	})
}

// midFrame claims the largest message that is allowed, sends half of it, and stops.
func midFrame(a *attackers) {
	const size = 16 * mib
	half := func(head []byte, size int) func(*peer) {
		return func(p *peer) {
			p.send(head)
			for b, n := make([]byte, 64*kib), size/2; n > 0 && p.send(b[:min(n, len(b))]); n -= len(b) {
			}
			p.swallow()
		}
	}
	head := []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(a.Content) + "\r\n\r\n")
	a.each(
		func() { a.crowd(a.Peers/3, u64Service, nil, half(binary.LittleEndian.AppendUint64(nil, size), size)) },
		func() { a.crowd(a.Peers/3, "checksum32", nil, half(binary.BigEndian.AppendUint32(nil, size), size)) },
		func() { a.crowd(a.Peers/3, httpService, nil, half(head, a.Content)) },
	)
}

// slowDrain asks for more all the time, and reads a byte now and then.
func slowDrain(a *attackers) {
	drain := func(ask []byte) func(*peer) {
		return func(p *peer) {
			one := make([]byte, 1)
			for p.send(ask) && p.of.pause(100*time.Millisecond) {
				if _, err := p.Read(one); err != nil {
					return
				}
				p.of.received.Add(1)
			}
		}
	}
	a.each(
		func() { a.crowd(a.Peers/2, sourceService, tinyWindow, drain(request(largestAnswer))) },
		func() {
			a.crowd(a.Peers/2, httpService, tinyWindow, drain([]byte("GET /262144 HTTP/1.1\r\nHost: a\r\n\r\n")))
		},
	)
}

// oddTCP does with TCP what programs rarely do.
func oddTCP(a *attackers) {
	a.each(
		func() { a.crowd(a.Peers/2, echoService, tinySegments, (*peer).urgent) },
		func() {
			a.crowd(a.Peers/2, sourceService, tinyWindow, func(p *peer) {
				one := make([]byte, 1)
				for p.send(request(largestAnswer)); p.of.pause(5 * time.Millisecond); {
					if _, err := p.Read(one); err != nil {
						return
					}
					p.of.received.Add(1)
				}
			})
		},
	)
}

// urgent sends urgent bytes among others, and changes options of the socket meanwhile.
func (p *peer) urgent() {
	go p.swallow()
	raw, err := p.SyscallConn()
	if err != nil {
		return
	}
	for p.of.pause(time.Duration(p.r.IntN(3)) * time.Millisecond) {
		_ = raw.Write(func(fd uintptr) bool {
			_ = unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB|unix.MSG_DONTWAIT, nil)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, p.r.IntN(2))
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, p.r.IntN(2))
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, p.r.IntN(2))
			return true
		})
		if !p.send(make([]byte, 1+p.r.IntN(300))) {
			return
		}
	}
}
