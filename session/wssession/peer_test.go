package wssession_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a peer does on the wire is written here anew, so that no mistake of the codec is its own judge.

const (
	text, binaryFrame, continuation, closes, ping, pong = 1, 2, 0, 8, 9, 10
)

// wire makes the frame of a client: opcode, fin, reserved bits, payload.
func wire(opcode int, fin bool, rsv int, payload []byte) []byte {
	first := byte(opcode) | byte(rsv)<<4
	if fin {
		first |= 0x80
	}
	out := []byte{first}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 65536:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	mask := binary.BigEndian.AppendUint32(nil, rand.Uint32())
	out = append(out, mask...)
	at := len(out)
	out = append(out, payload...)
	for i := range payload {
		out[at+i] ^= mask[i&3]
	}
	return out
}

// whole makes a whole message of a client.
func whole(opcode int, payload string) []byte { return wire(opcode, true, 0, []byte(payload)) }

// code makes the payload of a Close.
func code(n int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(n))) + reason
}

// got is one message that a server has sent.
type got struct {
	opcode  int
	payload []byte
}

func (g got) String() string {
	switch name := map[int]string{text: "text", binaryFrame: "binary", ping: "ping", pong: "pong"}[g.opcode]; {
	case g.opcode == closes && len(g.payload) >= 2:
		return fmt.Sprintf("close %d", binary.BigEndian.Uint16(g.payload))
	case g.opcode == closes:
		return "close"
	case len(g.payload) > 300:
		return fmt.Sprintf("%s of %d", name, len(g.payload))
	default:
		return name + " " + string(g.payload)
	}
}

// A request for the opening handshake. The empty line that ends it is not in askWhole.
const (
	askLine  = "GET / HTTP/1.1\r\n"
	askHost  = "Host: a\r\n"
	askKey   = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	askRest  = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	askWhole = askLine + askHost + askKey + askRest
)

// asking is a request that offers extensions, unless they are empty.
func asking(extensions string) string {
	if extensions != "" {
		extensions = "Sec-WebSocket-Extensions: " + extensions + "\r\n"
	}
	return askWhole + extensions + "\r\n"
}

// peer is a client that is nobody's code but the test's.
type peer struct {
	net.Conn
	r        *bufio.Reader
	deflated bool
	answer   *http.Response
	part     got  // fragments of a message so far
	packed   bool // whether that is compressed
}

// dialPeer connects and shakes hands. extensions is what it offers.
func dialPeer(t testing.TB, address, extensions string) *peer {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	p := &peer{Conn: c, r: bufio.NewReaderSize(c, 64<<10)}
	_, err = io.WriteString(c, asking(extensions))
	require.NoError(t, err)
	p.answer, err = http.ReadResponse(p.r, &http.Request{Method: "GET"})
	require.NoError(t, err)
	require.Equal(t, 101, p.answer.StatusCode)
	p.deflated = p.answer.Header.Get("Sec-WebSocket-Extensions") != ""
	return p
}

// frame reads a frame.
func (p *peer) frame() (first byte, payload []byte, err error) {
	var head [10]byte
	if _, err = io.ReadFull(p.r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(p.r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(p.r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:])
	}
	if err != nil || n > 1<<30 {
		return 0, nil, fmt.Errorf("a length of %d: %w", n, err) // a mask shows as such a length, or as one below
	}
	if head[1] > 127 {
		return 0, nil, fmt.Errorf("the server has masked a frame")
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(p.r, payload)
	return head[0], payload, err
}

// next reads a message.
func (p *peer) next() (g got, err error) {
	for {
		first, payload, err := p.frame()
		if err != nil {
			return g, err
		}
		opcode := int(first & 15)
		if first&0x30 != 0 || first&0x40 != 0 && (!p.deflated || opcode == 0 || opcode >= 8) {
			return g, fmt.Errorf("reserved bits in %#x", first)
		}
		if opcode >= 8 {
			return got{opcode, payload}, nil
		}
		if opcode != continuation {
			p.part, p.packed = got{opcode: opcode}, first&0x40 != 0
		}
		p.part.payload = append(p.part.payload, payload...)
		if first&0x80 == 0 {
			continue
		}
		if g = p.part; p.packed {
			g.payload, err = inflated(g.payload)
		}
		return g, err
	}
}

// all reads to the end of the connection, and returns what came.
func (p *peer) all(t testing.TB) (all []string) {
	t.Helper()
	for {
		g, err := p.next()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err, "behind %.300q", all)
		all = append(all, g.String())
	}
}

// send writes b in pieces of chop bytes, each in a packet of its own if that is possible; 0: in one piece.
func (p *peer) send(b []byte, chop int) {
	if chop <= 0 {
		chop = max(len(b), 1)
	}
	for len(b) > 0 {
		n, err := p.Write(b[:min(chop, len(b))])
		if err != nil {
			return // the server has seen enough
		}
		b = b[n:]
	}
}

// CloseWrite finishes.
func (p *peer) CloseWrite() error { return p.Conn.(*net.TCPConn).CloseWrite() }

// accept is the value of Sec-WebSocket-Accept for a key.
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
