package frame_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/frame"
)

// hand decodes one frame at the front of p, as a loop does that was written for its format alone. n is 0 if there is none,
// and negative if the bytes are wrong.
type hand[M any] func(p []byte) (m M, n int)

// BenchmarkHandWritten decodes a stream of frames with messages of 64 bytes: with a Decoder, and with a loop that was
// written for its format and checks the same.
func BenchmarkHandWritten(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 64)
	zeros := bytes.Repeat([]byte("seven x\x00"), 8)
	against(b, "U64", frame.U64{}, handU64, payload)
	against(b, "Varint", frame.Varint{}, handVarint, payload)
	against(b, "Netstring", frame.Netstring{}, handNetstring, payload)
	against(b, "PktLine", frame.PktLine{}, handPktLine, frame.Pkt{Data: payload})
	against(b, "MQTT", mqtt, handMQTT, frame.Message{Header: []byte("0"), Body: payload})
	against(b, "NATS", nats, handNATS, frame.Message{Header: []byte("PUB subject 64"), Body: payload})
	against(b, "LSP", frame.LSP{}, handLSP, payload)
	against(b, "COBS", frame.COBS{}, handCOBS, payload)
	against(b, "COBS with zeros", frame.COBS{}, handCOBS, zeros)
}

func against[M any](b *testing.B, name string, codec frame.Codec[M], byHand hand[M], m M) {
	const frames = 100
	var stream []byte
	for range frames {
		stream = append(stream, encode(b, codec, m)...)
	}
	report := func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/frames, "ns/frame")
		b.ReportMetric(0, "ns/op")
	}
	b.Run(name+"/codec", func(b *testing.B) {
		d := codec.NewDecoder()
		for b.Loop() {
			for p := stream; len(p) > 0; {
				_, n, need, err := d.Decode(p)
				if need > 0 || err != nil {
					b.Fatal(need, err)
				}
				p = p[n:]
			}
		}
		report(b)
	})
	b.Run(name+"/hand", func(b *testing.B) {
		for b.Loop() {
			for p := stream; len(p) > 0; {
				_, n := byHand(p)
				if n <= 0 {
					b.Fatal(n)
				}
				p = p[n:]
			}
		}
		report(b)
	})
}

const handMost = 16 << 20

func handU64(p []byte) (m []byte, n int) {
	if len(p) < 8 {
		return nil, 0
	}
	var length uint64
	for i, b := range p[:8] {
		length |= uint64(b) << (8 * i)
	}
	return handPart(p, 8, length)
}

// handPart returns the payload behind a header.
func handPart(p []byte, header int, length uint64) (m []byte, n int) {
	switch {
	case length > handMost:
		return nil, -1
	case uint64(len(p)-header) < length:
		return nil, 0
	}
	end := header + int(length)
	return p[header:end:end], end
}

func handVarint(p []byte) (m []byte, n int) {
	var length uint64
	for i, b := range p {
		if i == 9 && b > 1 {
			return nil, -1
		}
		length |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return handPart(p, i+1, length)
		}
	}
	return nil, 0
}

func handNetstring(p []byte) (m []byte, n int) {
	length := uint64(0)
	for i, b := range p {
		switch {
		case b == ':' && i > 0:
			if m, n = handPart(p, i+1, length); n <= 0 || n == len(p) {
				return nil, min(n, 0)
			}
			if p[n] != ',' {
				return nil, -1
			}
			return m, n + 1
		case b < '0' || b > '9' || i > 0 && length == 0 || i == 19:
			return nil, -1
		}
		length = 10*length + uint64(b-'0')
	}
	return nil, 0
}

func handPktLine(p []byte) (m frame.Pkt, n int) {
	if len(p) < 4 {
		return m, 0
	}
	length := 0
	for _, b := range p[:4] {
		switch {
		case b >= '0' && b <= '9':
			length = length<<4 | int(b-'0')
		case b >= 'a' && b <= 'f':
			length = length<<4 | int(b-'a'+10)
		case b >= 'A' && b <= 'F':
			length = length<<4 | int(b-'A'+10)
		default:
			return m, -1
		}
	}
	switch {
	case length == 3 || length > 65520:
		return m, -1
	case length < 4:
		return frame.Pkt{Kind: frame.PktKind(length + 1)}, 4
	case len(p) < length:
		return m, 0
	}
	return frame.Pkt{Data: p[4:length:length]}, length
}

func handMQTT(p []byte) (m frame.Message, n int) {
	var length uint64
	for i := 1; i < len(p); i++ {
		b := p[i]
		length |= uint64(b&0x7f) << (7 * (i - 1))
		switch {
		case b == 0 && i > 1 || b >= 0x80 && i == 4:
			return m, -1
		case b < 0x80:
			m.Body, n = handPart(p, i+1, length)
			m.Header = p[:1:1]
			return m, n
		}
	}
	return m, 0
}

func handNATS(p []byte) (m frame.Message, n int) {
	i := bytes.Index(p[:min(len(p), 4098)], []byte("\r\n"))
	if i < 0 {
		return m, 0
	}
	m.Header = p[:i:i]
	size, err := natsLength(m.Header)
	switch {
	case err != nil:
		return m, -1
	case size == frame.NoBody:
		return m, i + 2
	}
	m.Body, n = handPart(p, i+2, uint64(size))
	switch {
	case n <= 0:
		return m, n
	case len(p) < n+2:
		return m, 0
	case p[n] != '\r' || p[n+1] != '\n':
		return m, -1
	}
	return m, n + 2
}

func handLSP(p []byte) (m []byte, n int) {
	i := bytes.Index(p[:min(len(p), 4100)], []byte("\r\n\r\n"))
	if i < 0 {
		return nil, 0
	}
	length := -1
	for line := range bytes.SplitSeq(p[:i], []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, -1
		}
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		value = bytes.Trim(value, " \t")
		if length >= 0 || len(value) == 0 {
			return nil, -1
		}
		length = 0
		for _, b := range value {
			if b < '0' || b > '9' || length > handMost {
				return nil, -1
			}
			length = 10*length + int(b-'0')
		}
	}
	if length < 0 {
		return nil, -1
	}
	return handPart(p, i+4, uint64(length))
}

var handMemory = make([]byte, 0, 1<<16)

func handCOBS(p []byte) (m []byte, n int) {
	end := bytes.IndexByte(p, 0)
	if end < 0 {
		return nil, 0
	}
	if end == 0 || int(p[0]) == end {
		return p[min(1, end):end:end], end + 1
	}
	m = handMemory[:0]
	for i := 0; i < end; {
		next := i + int(p[i])
		if next > end {
			return nil, -1
		}
		m = append(m, p[i+1:next]...)
		if p[i] < 255 && next < end {
			m = append(m, 0)
		}
		i = next
	}
	return m, end + 1
}

// TestHandWritten keeps the loops that the codecs are compared with right.
func TestHandWritten(t *testing.T) {
	payload := []byte("seven x\x00 and more")
	handRight(t, frame.U64{}, handU64, payload)
	handRight(t, frame.Varint{}, handVarint, payload)
	handRight(t, frame.Netstring{}, handNetstring, payload)
	handRight(t, frame.PktLine{}, handPktLine, frame.Pkt{Data: payload})
	handRight(t, mqtt, handMQTT, frame.Message{Header: []byte("0"), Body: payload})
	handRight(t, nats, handNATS, frame.Message{Header: []byte("PUB subject 17"), Body: payload})
	handRight(t, frame.LSP{}, handLSP, payload)
	handRight(t, frame.COBS{}, handCOBS, payload)
}

func handRight[M any](t *testing.T, codec frame.Codec[M], byHand hand[M], m M) {
	stream := encode(t, codec, m)
	got, n := byHand(stream)
	assert.Equal(t, len(stream), n, "%T", codec)
	assert.Equal(t, m, got, "%T", codec)
	_, n = byHand(stream[:len(stream)-1])
	assert.Zero(t, n, "%T: bytes of a part", codec)
}
