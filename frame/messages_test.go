package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

// mqtt has the control packets of MQTT 5.
var mqtt = must(frame.NewVarintField(frame.VarintFieldOptions{Offset: 1, Length: 4, Minimal: true}))

// nats has the messages of the NATS protocol.
var nats = must(frame.NewTextHeader(natsOptions))

var natsOptions = frame.TextHeaderOptions{
	Ends: [][]byte{[]byte("\r\n")}, Length: natsLength, Trailer: []byte("\r\n"), MaxHeader: 4096, MaxBody: 1 << 20,
}

// natsLength returns the number at the end of a control line with a payload.
func natsLength(line []byte) (int, error) {
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(verb) {
	case "PUB", "HPUB", "MSG", "HMSG":
		return size(rest[bytes.LastIndexByte(rest, ' ')+1:])
	}
	return frame.NoBody, nil
}

// stomp has the frames of STOMP 1.2.
var stomp = must(frame.NewTextHeader(stompOptions))

var stompOptions = frame.TextHeaderOptions{
	Ends: [][]byte{[]byte("\n\n"), []byte("\n\r\n")}, Length: stompLength, Trailer: []byte{0}, MaxHeader: 4096, MaxBody: 1 << 20,
}

var errTwoColons = errors.New("a header of no command")

// stompLength returns the content-length, or that the body ends with a zero.
func stompLength(header []byte) (int, error) {
	if len(header) > 0 && header[0] == ':' {
		return 0, errTwoColons
	}
	_, value, found := bytes.Cut(header, []byte("\ncontent-length:"))
	if !found {
		return frame.UntilTrailer, nil
	}
	value, _, _ = bytes.Cut(value, []byte("\n"))
	return size(bytes.TrimSuffix(value, []byte("\r")))
}

// size is a number of bytes: one that is negative would mean something else.
func size(digits []byte) (int, error) {
	n, err := strconv.ParseUint(string(digits), 10, strconv.IntSize-1)
	return int(n), err
}

// messageOf makes a message of parts in a file: a header, and the body if there is one.
func messageOf(parts [][]byte) (m frame.Message) {
	m.Header = parts[0]
	if len(parts) > 1 {
		m.Body = append([]byte{}, bytes.Join(parts[1:], nil)...)
	}
	return m
}

// written is a message as tables have it.
func written(m frame.Message) string {
	if m.Header == nil {
		return ""
	}
	return fmt.Sprintf("%s|%s", m.Header, m.Body)
}

func read(m string) frame.Message {
	header, body, found := bytes.Cut([]byte(m), []byte("|"))
	if !found {
		body = nil
	}
	return frame.Message{Header: header, Body: body}
}

func cloneMessage(m frame.Message) frame.Message {
	return frame.Message{Header: bytes.Clone(m.Header), Body: bytes.Clone(m.Body)}
}

func clonePkt(m frame.Pkt) frame.Pkt { return frame.Pkt{Kind: m.Kind, Data: bytes.Clone(m.Data)} }

// messageSubject is a codec of messages with headers, as strict as possible.
func messageSubject(codec frame.Codec[frame.Message], message func(raw []byte) frame.Message) frametest.Subject[frame.Message] {
	return frametest.Subject[frame.Message]{
		Codec:   codec,
		Message: message,
		Clone:   cloneMessage,
		Equal: func(a, b frame.Message) bool {
			return bytes.Equal(a.Header, b.Header) && bytes.Equal(a.Body, b.Body) && (a.Body == nil) == (b.Body == nil)
		},
		InPlace:      func(m frame.Message) []byte { return m.Body },
		NoAllocation: true,
	}
}

// cutOnce decodes a stream that is cut at each place.
func cutOnce(t *testing.T, codec frame.Codec[frame.Message], stream string, want frametest.Outcome[frame.Message]) {
	t.Helper()
	s := messageSubject(codec, nil)
	for i := range len(stream) {
		got, err := s.Decode([]byte(stream), []int{i}, false)
		require.NoError(t, err)
		require.NoError(t, s.Compare(got, want), "cut at %d", i)
	}
}

// TestMessageCodecs holds codecs whose messages have headers to the contract.
func TestMessageCodecs(t *testing.T) {
	withHeader := func(offset int) func(raw []byte) frame.Message {
		return func(raw []byte) frame.Message {
			return frame.Message{Header: bytes.Repeat([]byte("h"), offset), Body: append([]byte{}, raw...)}
		}
	}
	short := func(makes func(raw []byte) frame.Message) func(raw []byte) frame.Message {
		return func(raw []byte) frame.Message { return makes(raw[:min(len(raw), 9)]) }
	}
	skipping := natsOptions
	skipping.MaxBody, skipping.SkipTooLarge = 9, true
	for name, c := range map[string]struct {
		codec    frame.Codec[frame.Message]
		message  func(raw []byte) frame.Message
		mostBody int
		mislead  func(seen []byte)
	}{
		"MQTT":        {mqtt, withHeader(1), 16 << 20, subject{header: 1}.mislead},
		"VarintField": {must(frame.NewVarintField(frame.VarintFieldOptions{})), withHeader(0), 16 << 20, subject{}.mislead},
		"VarintField of 9": {
			must(frame.NewVarintField(frame.VarintFieldOptions{Offset: 3, MaxPayload: 9, SkipTooLarge: true})),
			short(withHeader(3)), 9, subject{header: 4}.mislead,
		},
		"NATS":                {nats, natsMessage, 1 << 20, hideLine},
		"NATS of 9, skipping": {must(frame.NewTextHeader(skipping)), short(natsMessage), 9, hideLine},
		"STOMP":               {stomp, stompMessage, 1 << 20, hideFrame},
	} {
		t.Run(name, func(t *testing.T) {
			s := messageSubject(c.codec, c.message)
			s.Mislead = c.mislead
			large := c.message([]byte("large"))
			large.Body = make([]byte, c.mostBody+1)
			s.TooLarge = []frame.Message{large}
			frametest.Run(t, s)
		})
	}
}

// hideLine overwrites a control line of NATS.
func hideLine(seen []byte) { hideHeader(seen, "\r\n") }

// hideFrame overwrites headers of STOMP, and what has been seen of a body, with what ends one.
func hideFrame(seen []byte) {
	if i := bytes.Index(seen, []byte("\n\n")); i >= 0 {
		clear(seen[i+2:])
	}
	hideHeader(seen, "\n\n")
}

// natsMessage makes a message of the NATS protocol, one without a payload of no bytes.
func natsMessage(raw []byte) frame.Message {
	if len(raw) == 0 {
		return frame.Message{Header: []byte("PING")}
	}
	return frame.Message{Header: fmt.Appendf(nil, "PUB subject %d", len(raw)), Body: append([]byte{}, raw...)}
}

// stompMessage makes a frame of STOMP, with content-length if that is necessary.
func stompMessage(raw []byte) frame.Message {
	m := frame.Message{Header: []byte("SEND\ndestination:/queue/a"), Body: append([]byte{}, raw...)}
	if bytes.IndexByte(raw, 0) >= 0 {
		m.Header = fmt.Appendf(m.Header, "\ncontent-length:%d", len(raw))
	}
	return m
}

func pktOf(parts [][]byte) frame.Pkt {
	for _, kind := range []frame.PktKind{frame.PktFlush, frame.PktDelim, frame.PktResponseEnd} {
		if string(parts[0]) == kind.String() {
			return frame.Pkt{Kind: kind}
		}
	}
	return frame.Pkt{Data: append([]byte{}, parts[1]...)}
}

// TestPktLineContract holds PktLine to the contract.
func TestPktLineContract(t *testing.T) {
	frametest.Run(t, frametest.Subject[frame.Pkt]{
		Codec: frame.PktLine{},
		Message: func(raw []byte) frame.Pkt {
			if len(raw) == 1 {
				return frame.Pkt{Kind: frame.PktFlush + frame.PktKind(raw[0]%3)}
			}
			return frame.Pkt{Data: append([]byte{}, raw...)}
		},
		Clone:        clonePkt,
		TooLarge:     []frame.Pkt{{Data: make([]byte, 65517)}},
		Mislead:      subject{header: 4}.mislead,
		InPlace:      func(m frame.Pkt) []byte { return m.Data },
		NoAllocation: true,
	})
}

func TestPktLine(t *testing.T) {
	text := func(m frame.Pkt) string {
		if m.Kind != frame.PktData {
			return m.Kind.String()
		}
		return string(m.Data)
	}
	decodeAs(t, frame.PktLine{}, text, []decoded{
		{p: "", need: 4},
		{p: "000", need: 1},
		{p: "00zz", err: frame.ErrMalformed, offset: 2, what: `a length has 'z' in it`},
		{p: "00G0", err: frame.ErrMalformed, offset: 2, what: `a length has 'G' in it`},
		{p: "0 04", err: frame.ErrMalformed, offset: 1, what: `a length has ' ' in it`},
		{p: "-004", err: frame.ErrMalformed, what: `a length has '-' in it`},
		{p: "0000", m: "flush-pkt", n: 4},
		{p: "00010000", m: "delim-pkt", n: 4},
		{p: "0002", m: "response-end-pkt", n: 4},
		{p: "0003", err: frame.ErrMalformed, what: "a length of 3"},
		{p: "0004", n: 4},
		{p: "000ab", need: 5},
		{p: "000Abcdefg", m: "bcdefg", n: 10},
		{p: "fff0", need: 65516},
		{p: "fff1", err: frame.ErrTooLarge, what: "line of 65521 bytes exceeds the limit of 65520"},
		{p: "FFFF", err: frame.ErrTooLarge, what: "line of 65535 bytes"},
	})
	for _, m := range []frame.Pkt{{Kind: 9}, {Kind: frame.PktFlush, Data: []byte("a")}} {
		_, err := frame.PktLine{}.Append(nil, m)
		require.ErrorIs(t, err, frame.ErrMalformed, "%+v", m)
	}
	require.Equal(t, "unknown", frame.PktKind(9).String())
	require.Equal(t, "data", frame.PktData.String())
}
