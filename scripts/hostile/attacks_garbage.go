//go:build linux

package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// lies are messages that are none: lengths that cannot be, and forms that are not allowed. By service.
var lies = map[string][]string{
	u64Service: {
		"\x00\x00\x00\x80\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x80", "\xff\xff\xff\xff\xff\xff\xff\xff",
		"\x01\x00\x00\x01\x00\x00\x00\x00", "\x00\x00\x00\x00\x01\x00\x00\x00",
	},
	"simple":     {"\x00", "\x02\x00\x00\x17", "\x01\x00\x05hello\x18", "\x01\x00\x00\x00", "\x17\x17\x17\x17"},
	"checksum32": {"\x80\x00\x00\x00", "\xff\xff\xff\xff", "\x7f\xff\xff\xff", "\x00\x00\x00\x02ab\x00\x00\x00\x00"},
	"varint": {
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "\x80\x80\x80\x80\x08", "\x80\x80\x80\x80\x00",
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
	},
	"length2":   {"\x00\x00\x00", "\x00\x00\x01\x00", "\xff\x00\x02"},
	"length4":   {"\x80\x00\x00\x00", "\xff\xff\xff\xff", "\x7f\xff\xff\xff", "\x01\x00\x00\x01"},
	"length8":   {"\x80\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff", "\x7f\xff\xff\xff\xff\xff\xff\xff", "\x00\x00\x00\x00\x80\x00\x00\x00"},
	"delimiter": {strings.Repeat("x", 70*kib), strings.Repeat("\r", 70*kib)},
	"line":      {strings.Repeat("x", 70*kib), strings.Repeat("\r\r\n", 30*kib)},
	"fixed":     {"x"},
	httpService: {
		"\r\n\r\n\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET  / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2147483648\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n80000000\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 2*kib) + "\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;xxxxxxxx\r\na\r\n", 8*kib),
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("a: b\r\n", 2*kib),
		"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", 300),
		"GET /" + strings.Repeat("x", 70*kib), strings.Repeat("\x00", kib),
	},
}

// garbage sends every service what is no message for it: lies, noise, and both behind messages that are right.
func garbage(a *attackers) {
	var parts []func()
	for service := range lies {
		parts = append(parts, func() {
			a.crowd(max(a.Peers/len(lies), 1), service, nil, func(p *peer) { p.lie(service) })
		})
	}
	a.each(parts...)
}

// lie sends one thing that is no message, whole or in pieces, and waits for the server's opinion, or for none.
func (p *peer) lie(service string) {
	b := nonsense(p.r, service)
	for len(b) > 0 {
		n := len(b)
		if p.r.IntN(2) == 0 {
			n = 1 + p.r.IntN(n)
		}
		if !p.send(b[:n]) {
			return
		}
		b = b[n:]
	}
	switch p.r.IntN(4) {
	case 0:
		_ = p.SetLinger(0)
	case 1:
		_ = p.CloseWrite()
		fallthrough
	case 2:
		if !p.of.isOver() {
			_ = p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		}
		p.swallow()
	}
}

// nonsense returns what is no message of a service.
func nonsense(r *rand.Rand, service string) []byte {
	some := lies[service]
	lie := []byte(some[r.IntN(len(some))])
	switch r.IntN(4) {
	case 0:
		return noise(r, 1+r.IntN(4*kib))
	case 1: // a lie with one bit more that is wrong
		i := r.IntN(len(lie))
		lie[i] ^= 1 << r.IntN(8)
	case 2:
		return slices.Concat(lie, noise(r, r.IntN(64*kib)))
	}
	return bytes.Clone(lie)
}
