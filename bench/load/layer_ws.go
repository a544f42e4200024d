//go:build linux

package load

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// wsLayer is the client of a WebSocket connection, RFC 6455. Each message is one binary frame, both ways. That of an
// answer has exactly one form, so that its head can be compared with what it must be.
type wsLayer struct {
	sending
	in    []byte // of the server's answer to the handshake
	asked bool   // the handshake has begun
	head  []byte // in front of each answer
	at    int    // bytes of the answer that are there, head included
	keys  *rand.ChaCha8
}

// The handshake, RFC 6455, section 4.1. The key of every client is the same: nobody keeps it.
const (
	wsKey     = "dGhlIHNhbXBsZSBub25jZQ=="
	wsRequest = "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + wsKey + "\r\n\r\n"
	wsGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// The first two bytes of a frame, RFC 6455, section 5.2.
const (
	wsBinary = 0x82 // the last frame of a message, which is binary
	wsMasked = 0x80 // in front of a length
	wsLong   = 126  // a length of two bytes follows
	wsHuge   = 127  // a length of eight bytes follows
)

func newWSLayer(s socket) *wsLayer {
	return &wsLayer{
		sending: sending{socket: s}, head: appendWSHead(nil, s.g.Size, 0),
		keys: rand.NewChaCha8([32]byte{'w', 's', byte(s.i), byte(s.i >> 8)}),
	}
}

// appendWSHead appends the head of a frame, in its shortest form, without the masking key.
func appendWSHead(b []byte, n int, mask byte) []byte {
	b = append(b, wsBinary)
	switch {
	case n < wsLong:
		return append(b, mask|byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, mask|wsLong), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, mask|wsHuge), uint64(n))
}

func (l *wsLayer) open() (bool, error) {
	if !l.asked {
		l.asked = true
		l.rest = append(l.rest, wsRequest...)
	}
	if err := l.flush(); err != nil {
		return false, err
	}
	p, err := l.receive()
	if err != nil {
		return false, err
	}
	l.in = append(l.in, p...)
	end := bytes.Index(l.in, []byte("\r\n\r\n"))
	if end < 0 {
		return false, nil
	}
	if err := checkWSAnswer(l.in[:end+4]); err != nil {
		return false, l.fail("WebSocket handshake", err)
	}
	if len(l.in) > end+4 {
		return false, l.fail("WebSocket handshake", fmt.Errorf("%d bytes too many came", len(l.in)-end-4))
	}
	l.in = nil
	return true, nil
}

// checkWSAnswer checks the answer to the handshake, RFC 6455, section 4.2.2.
func checkWSAnswer(p []byte) error {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
	if err != nil {
		return err
	}
	_ = r.Body.Close() // it has none
	if r.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the server answered %s", r.Status)
	}
	sum := sha1.Sum([]byte(wsKey + wsGUID)) //nolint:gosec // RFC 6455 wants it
	want := base64.StdEncoding.EncodeToString(sum[:])
	if got := r.Header.Get("Sec-Websocket-Accept"); got != want {
		return fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", got, want)
	}
	return nil
}

func (l *wsLayer) write(p []byte) (int, error) {
	size := l.g.Size
	for at := 0; at < len(p); at += size {
		l.rest = appendWSHead(l.rest, size, wsMasked)
		l.rest = appendMasked(l.rest, p[at:at+size], uint32(l.keys.Uint64()))
	}
	return len(p), l.flush()
}

// appendMasked appends a masking key and the masked payload, RFC 6455, section 5.3.
func appendMasked(b, p []byte, key uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, key)
	at := len(b)
	b = append(b, p...)
	q := b[at:]
	for wide := uint64(key)<<32 | uint64(key); len(q) >= 8; q = q[8:] {
		binary.LittleEndian.PutUint64(q, binary.LittleEndian.Uint64(q)^wide)
	}
	for i := range q {
		q[i] ^= byte(key >> (8 * (i % 4)))
	}
	return b
}

// read takes the heads out, in place.
func (l *wsLayer) read() ([]byte, error) {
	p, err := l.receive()
	if err != nil {
		return nil, err
	}
	payload := p[:0]
	for len(p) > 0 {
		if l.at < len(l.head) {
			n := min(len(p), len(l.head)-l.at)
			if want := l.head[l.at : l.at+n]; !bytes.Equal(p[:n], want) {
				return nil, l.fail("WebSocket", fmt.Errorf("the frame of an answer has % x at offset %d of its head, want % x",
					p[:n], l.at, want))
			}
			l.at, p = l.at+n, p[n:]
			continue
		}
		n := min(len(p), len(l.head)+l.g.Size-l.at)
		payload = append(payload, p[:n]...)
		if l.at, p = l.at+n, p[n:]; l.at == len(l.head)+l.g.Size {
			l.at = 0
		}
	}
	return payload, nil
}
