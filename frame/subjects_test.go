package frame_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/frame"
)

// subject is a codec that every property is tested with.
type subject struct {
	name  string
	codec frame.Codec[[]byte]

	// message makes a message that the codec can encode out of any bytes; nil: they are one.
	message func(raw []byte) []byte

	// header is the size of a header that a Decoder reads when it is all there, lookBack how many of the bytes it has
	// searched a Decoder may look at once more.
	header, lookBack int

	// trap is what a Decoder must not find among bytes that it has searched; nil: it does not search.
	trap []byte

	hide func(seen []byte) // what to do instead

	copies bool // whether messages may be copies

	tooLarge []byte // a message that Append refuses as such; nil: any with more bytes than MaxSize
}

func subjects() []subject {
	return slices.Concat(prefixedSubjects(), lengthFieldSubjects(), searchingSubjects())
}

func prefixedSubjects() []subject {
	return []subject{
		{name: "U64", codec: frame.U64{}, header: 8},
		{name: "U64 of 9", codec: frame.U64{MaxPayload: 9}, message: cut(9), header: 8},
		{name: "U64 of 9, skipping", codec: frame.U64{MaxPayload: 9, SkipTooLarge: true}, message: cut(9), header: 8},
		{name: "Simple", codec: frame.Simple{}, header: 3},
		{name: "Checksum32", codec: frame.Checksum32{}, header: 4},
		{name: "Checksum32 of 9", codec: frame.Checksum32{MaxPayload: 9}, message: cut(9), header: 4},
		{name: "Checksum32 of 9, skipping", codec: frame.Checksum32{MaxPayload: 9, SkipTooLarge: true}, message: cut(9), header: 4},
		{name: "Varint", codec: frame.Varint{}},
		{name: "Varint of 9", codec: frame.Varint{MaxPayload: 9}, message: cut(9)},
		{name: "Varint of 9, skipping", codec: frame.Varint{MaxPayload: 9, SkipTooLarge: true}, message: cut(9)},
		{name: "Netstring", codec: frame.Netstring{}},
		{name: "Netstring of 9", codec: frame.Netstring{MaxPayload: 9}, message: cut(9)},
		{name: "Netstring of 9, skipping", codec: frame.Netstring{MaxPayload: 9, SkipTooLarge: true}, message: cut(9)},
		{name: "Fixed 1", codec: must(frame.NewFixed(1)), message: exactly(1)},
		{name: "Fixed 64", codec: must(frame.NewFixed(64)), message: exactly(64)},
	}
}

// lengthFieldSubjects are the examples of Netty's documentation, and some that it has no example for.
func lengthFieldSubjects() (all []subject) {
	add := func(o frame.LengthFieldOptions, message func([]byte) []byte) {
		length := o.Length
		if length == 0 {
			length = 4
		}
		all = append(all, subject{
			name:    fmt.Sprintf("LengthField%+v", o),
			codec:   must(frame.NewLengthField(o)),
			message: message,
			header:  o.Offset + length,
		})
	}
	add(frame.LengthFieldOptions{Length: 2}, front(func(m []byte) []byte { return be16(len(m)) }))
	add(frame.LengthFieldOptions{Length: 2, Strip: 2}, nil)
	add(frame.LengthFieldOptions{Length: 2, Adjustment: -2}, front(func(m []byte) []byte { return be16(len(m) + 2) }))
	add(frame.LengthFieldOptions{Length: 2, LengthIncludesItself: true, Strip: 2}, nil)
	add(frame.LengthFieldOptions{Offset: 2, Length: 3}, front(func(m []byte) []byte {
		return slices.Concat([]byte{0xca, 0xfe, 0}, be16(len(m)))
	}))
	add(frame.LengthFieldOptions{Length: 3, Adjustment: 2}, front(func(m []byte) []byte {
		return slices.Concat([]byte{0}, be16(len(m)), []byte{0xca, 0xfe})
	}))
	add(frame.LengthFieldOptions{Offset: 1, Length: 2, Adjustment: 1, Strip: 3, Head: []byte{0xca, 0, 0}}, atLeast(1))
	add(frame.LengthFieldOptions{Offset: 1, Length: 2, Adjustment: -3, Strip: 3}, nil)
	add(frame.LengthFieldOptions{Length: 1, Strip: 1}, cut(255))
	add(frame.LengthFieldOptions{Length: 1, Strip: 1, LengthIncludesItself: true, MaxFrame: 9}, cut(8))
	add(frame.LengthFieldOptions{Length: 1, Strip: 1, MaxFrame: 9, SkipTooLarge: true}, cut(8))
	add(frame.LengthFieldOptions{Length: 3, Strip: 3, LittleEndian: true}, nil)
	add(frame.LengthFieldOptions{Length: 4, Strip: 4, LittleEndian: true, FailLate: true}, nil)
	add(frame.LengthFieldOptions{Length: 8, Strip: 8}, nil)
	add(frame.LengthFieldOptions{Length: 8, Strip: 8, LittleEndian: true, Adjustment: -1000}, nil)
	add(frame.LengthFieldOptions{Length: 2, Strip: 1}, front(func(m []byte) []byte { return be16(len(m))[1:] }, cut(255)))
	add(frame.LengthFieldOptions{Strip: 6}, nil)
	return all
}

func searchingSubjects() []subject {
	delimiter := func(o frame.DelimiterOptions, ds ...string) frame.Codec[[]byte] {
		for _, d := range ds {
			o.Delimiters = append(o.Delimiters, []byte(d))
		}
		return must(frame.NewDelimiter(o))
	}
	return []subject{
		{
			name:    "Delimiter NUL",
			codec:   delimiter(frame.DelimiterOptions{}, "\x00"),
			message: without("\x00"), trap: []byte("\x00"),
		},
		{
			name:    "Delimiter of lines",
			codec:   delimiter(frame.DelimiterOptions{}, "\n", "\r\n"),
			message: without("\n"), lookBack: 1, trap: []byte("\r\n"),
		},
		{
			name:    "Delimiter aab",
			codec:   delimiter(frame.DelimiterOptions{}, "aab"),
			message: without("b"), lookBack: 2, trap: []byte("aab"),
		},
		{
			name:    "Delimiter of three, kept",
			codec:   delimiter(frame.DelimiterOptions{Keep: true}, "--;", ";;", "$"),
			message: behind("--;", without(";$")), lookBack: 2, trap: []byte("$"),
			tooLarge: append(make([]byte, 1<<17), '$'),
		},
		{
			name:    "Delimiter of 9",
			codec:   delimiter(frame.DelimiterOptions{MaxMessage: 9}, "<>", "</>", "<//>"),
			message: cut(9, without("<>")), lookBack: 3, trap: []byte("<>"),
		},
		{name: "LSP", codec: frame.LSP{}, hide: hideFields},
		{name: "LSP of 9", codec: frame.LSP{MaxContent: 9}, message: cut(9), hide: hideFields},
		{
			name: "LSP of 9, skipping", codec: frame.LSP{MaxContent: 9, SkipTooLarge: true},
			message: cut(9), hide: hideFields,
		},
		{name: "COBS", codec: frame.COBS{}, copies: true, hide: hideData},
		{name: "COBS of 9", codec: frame.COBS{MaxMessage: 9}, message: cut(9), copies: true, hide: hideData},
		{name: "Line", codec: frame.Line{}, message: without("\n"), lookBack: 1, trap: []byte("\n")},
		{name: "Line CRLF", codec: frame.Line{CRLF: true}, message: without("\n"), lookBack: 1, trap: []byte("\r\n")},
		{name: "Line of 9", codec: frame.Line{MaxLine: 9}, message: cut(9, without("\n")), lookBack: 1, trap: []byte("\n")},
	}
}

// of makes a message out of any bytes.
func (s subject) of(b []byte) []byte {
	if s.message == nil {
		return bytes.Clone(b)
	}
	return s.message(b)
}

func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// chain makes a message in several steps, the last given first.
func chain(b []byte, before []func([]byte) []byte) []byte {
	for _, f := range slices.Backward(before) {
		b = f(b)
	}
	return bytes.Clone(b)
}

func cut(n int, before ...func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b = chain(b, before)
		return b[:min(len(b), n)]
	}
}

func atLeast(n int) func([]byte) []byte {
	return func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, max(0, n-len(b)))...) }
}

func exactly(n int) func([]byte) []byte { return cut(n, atLeast(n)) }

func front(header func(m []byte) []byte, before ...func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b = chain(b, before)
		return append(header(b), b...)
	}
}

func behind(end string, before ...func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte { return append(chain(b, before), end...) }
}

func without(chars string) func([]byte) []byte {
	return func(b []byte) []byte {
		m := []byte{}
		for _, c := range b {
			if !strings.Contains(chars, string([]byte{c})) {
				m = append(m, c)
			}
		}
		return m
	}
}
