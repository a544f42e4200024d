package frame_test

import (
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/frame"
)

// TestLengthFieldNetty decodes and encodes the examples of Netty's documentation.
func TestLengthFieldNetty(t *testing.T) {
	const hello = "HELLO, WORLD"
	for _, c := range []struct {
		o               frame.LengthFieldOptions
		stream, message string
	}{
		{frame.LengthFieldOptions{Length: 2}, "\x00\x0c" + hello, "\x00\x0c" + hello},
		{frame.LengthFieldOptions{Length: 2, Strip: 2}, "\x00\x0c" + hello, hello},
		{frame.LengthFieldOptions{Length: 2, Adjustment: -2}, "\x00\x0e" + hello, "\x00\x0e" + hello},
		{
			frame.LengthFieldOptions{Offset: 2, Length: 3},
			"\xca\xfe\x00\x00\x0c" + hello, "\xca\xfe\x00\x00\x0c" + hello,
		},
		{
			frame.LengthFieldOptions{Length: 3, Adjustment: 2},
			"\x00\x00\x0c\xca\xfe" + hello, "\x00\x00\x0c\xca\xfe" + hello,
		},
		{
			frame.LengthFieldOptions{Offset: 1, Length: 2, Adjustment: 1, Strip: 3, Head: []byte{0xca, 9, 9}},
			"\xca\x00\x0c\xfe" + hello, "\xfe" + hello,
		},
		{
			frame.LengthFieldOptions{Offset: 1, Length: 2, Adjustment: -3, Strip: 3, Head: []byte{0xca, 9, 9}},
			"\xca\x00\x10\xfe" + hello, "\xfe" + hello,
		},
		// Those of LengthFieldPrepender.
		{frame.LengthFieldOptions{Length: 2, Strip: 2, LengthIncludesItself: true}, "\x00\x0e" + hello, hello},
		{frame.LengthFieldOptions{Length: 4, Strip: 4, Adjustment: 1}, "\x00\x00\x00\x0b" + hello, hello},
		{
			frame.LengthFieldOptions{Length: 4, Strip: 4, Adjustment: 1, LengthIncludesItself: true},
			"\x00\x00\x00\x0f" + hello, hello,
		},
		{frame.LengthFieldOptions{Length: 4, Strip: 4, LittleEndian: true}, "\x0c\x00\x00\x00" + hello, hello},
	} {
		codec := must(frame.NewLengthField(c.o))
		decode(t, codec, []decoded{{p: c.stream + "more", m: c.message, n: len(c.stream)}})
		appendEach(t, codec, []encoded{{m: c.message, out: c.stream}})
	}
}

func TestLengthFieldWidths(t *testing.T) {
	for _, c := range []struct {
		length      int
		big, little string // of 5
	}{
		{1, "\x05", "\x05"},
		{2, "\x00\x05", "\x05\x00"},
		{3, "\x00\x00\x05", "\x05\x00\x00"},
		{4, "\x00\x00\x00\x05", "\x05\x00\x00\x00"},
		{8, "\x00\x00\x00\x00\x00\x00\x00\x05", "\x05\x00\x00\x00\x00\x00\x00\x00"},
	} {
		big := must(frame.NewLengthField(frame.LengthFieldOptions{Length: c.length, Strip: c.length}))
		little := must(frame.NewLengthField(frame.LengthFieldOptions{Length: c.length, Strip: c.length, LittleEndian: true}))
		decode(t, big, []decoded{
			{p: "", need: c.length},
			{p: c.big, need: 5},
			{p: c.big + "abcd", need: 1},
			{p: c.big + "abcde", m: "abcde", n: c.length + 5},
		})
		decode(t, little, []decoded{{p: c.little + "abcde", m: "abcde", n: c.length + 5}})
		appendEach(t, big, []encoded{{m: "abcde", out: c.big + "abcde"}})
		appendEach(t, little, []encoded{{m: "abcde", out: c.little + "abcde"}})
	}
}

func TestLengthFieldBounds(t *testing.T) {
	two := must(frame.NewLengthField(frame.LengthFieldOptions{Offset: 1, Length: 2, Strip: 3, MaxFrame: 8}))
	decode(t, two, []decoded{
		{p: "x\x00", need: 1},
		{p: "x\x00\x00", n: 3},
		{p: "x\x00\x05", need: 5},
		{p: "x\x00\x05abcde", m: "abcde", n: 8},
		{p: "x\x00\x06", err: frame.ErrTooLarge, offset: 1, what: "frame of 9 bytes exceeds the limit of 8"},
		{p: "x\xff\xff", err: frame.ErrTooLarge, offset: 1, what: "frame of 65538 bytes"},
	})
	appendEach(t, two, []encoded{
		{m: "", out: "\x00\x00\x00"},
		{m: "abcde", out: "\x00\x00\x05abcde"},
		{m: "abcdef", err: frame.ErrTooLarge, offset: 5, what: "message of 6 bytes exceeds the limit of 5"},
	})

	eight := must(frame.NewLengthField(frame.LengthFieldOptions{Length: 8, Strip: 8, Adjustment: math.MaxInt16}))
	decode(t, eight, []decoded{
		{p: "\x80\x00\x00\x00\x00\x00\x00\x00", err: frame.ErrMalformed, what: "-9223372036854775808, which is negative"},
		{p: "\xff\xff\xff\xff\xff\xff\xff\xff", err: frame.ErrMalformed, what: "-1, which is negative"},
		{p: "\x7f\xff\xff\xff\xff\xff\xff\xff", err: frame.ErrTooLarge, what: "frame of 9223372036854808582 bytes"},
		{p: "\x00\x00\x00\x01\x00\x00\x00\x00", err: frame.ErrTooLarge, what: "frame of 4295000071 bytes"},
		{p: "\x00\x00\x00\x00\x00\x00\x00\x00", need: math.MaxInt16},
	})
	appendEach(t, eight, []encoded{
		{m: "a", err: frame.ErrMalformed, offset: 1, what: "message of 1 bytes, but the shortest has 32767"},
	})

	whole := must(frame.NewLengthField(frame.LengthFieldOptions{Length: 1, Adjustment: -1, Strip: 3}))
	decode(t, whole, []decoded{
		{p: "\x00", err: frame.ErrMalformed, what: "says 0, but the shortest frame has 3"},
		{p: "\x02", err: frame.ErrMalformed, what: "says 2, but the shortest frame has 3"},
		{p: "\x03", need: 2},
		{p: "\x03ab", n: 3},
		{p: "\x04abc", m: "c", n: 4},
	})
	appendEach(t, whole, []encoded{
		{m: "c", out: "\x04\x00\x00c"},
		{m: a(252), out: "\xff\x00\x00" + a(252)},
		{m: a(253), err: frame.ErrTooLarge, offset: 252, what: "message of 253 bytes exceeds the limit of 252"},
	})

	kept := must(frame.NewLengthField(frame.LengthFieldOptions{Length: 2}))
	appendEach(t, kept, []encoded{
		{m: "\x00\x01a", out: "\x00\x01a"},
		{m: "\x00\x02a", err: frame.ErrMalformed, offset: 1, what: "the length field in the message is not 1"},
		{m: "hello", err: frame.ErrMalformed, what: "the length field in the message is not 3"},
		{m: "a", err: frame.ErrMalformed, offset: 1, what: "message of 1 bytes, but the shortest has 2"},
	})
}

// TestLengthFieldLate reads frames above the limit to their ends, which come before the error.
func TestLengthFieldLate(t *testing.T) {
	codec := must(frame.NewLengthField(frame.LengthFieldOptions{
		Offset: 1, Length: 2, Strip: 3, MaxFrame: 5, FailLate: true,
	}))
	decode(t, codec, []decoded{
		{p: "x\x00\x02ab", m: "ab", n: 5},
		{p: "x\x00\x03", n: 3, need: 1},
		{p: "x\x00\x03ab", n: 5, need: 1},
		{p: "x\x00\x03abc", err: frame.ErrTooLarge, offset: 1, what: "frame of 6 bytes exceeds the limit of 5"},
		{p: "x\x00\x03abcx\x00", err: frame.ErrTooLarge, offset: 1, what: "frame of 6 bytes exceeds the limit of 5"},
	})

	d := codec.NewDecoder()
	for _, p := range []string{"x\x00\x05ab", "", "cd"} {
		m, n, need, err := d.Decode([]byte(p))
		require.NoError(t, err, "Decode")
		require.Nil(t, m, "Decode")
		require.Equal(t, len(p), n, "Decode")
		require.Equal(t, 1, need, "Decode")
	}
	_, ok, err := d.End(nil)
	isError(t, "the end", err, io.ErrUnexpectedEOF, 0, "within a frame that is dropped: frame of 8 bytes exceeds the limit of 5")
	assert.False(t, ok, "a message")
	_, _, _, err = d.Decode([]byte("ex\x00\x02ab"))
	isError(t, "the last byte", err, frame.ErrTooLarge, 1-7, "frame of 8 bytes exceeds the limit of 5")

	four := must(frame.NewLengthField(frame.LengthFieldOptions{Length: 8, FailLate: true, Adjustment: math.MaxInt16}))
	decode(t, four, []decoded{
		{p: "\x7f\xff\xff\xff\xff\xff\xff\xff", n: 8, need: 1},
		{p: "\x80\x00\x00\x00\x00\x00\x00\x00", err: frame.ErrMalformed, what: "negative"},
	})
}

func TestLengthFieldOptions(t *testing.T) {
	for _, c := range []struct {
		o    frame.LengthFieldOptions
		want string // in the error; empty: there is none
	}{
		{frame.LengthFieldOptions{}, ""},
		{frame.LengthFieldOptions{FailLate: true, SkipTooLarge: true}, "FailLate and SkipTooLarge"},
		{frame.LengthFieldOptions{Length: 5}, "Length is 5"},
		{frame.LengthFieldOptions{Length: 9}, "Length is 9"},
		{frame.LengthFieldOptions{Length: -1}, "Length is -1"},
		{frame.LengthFieldOptions{MaxFrame: -1}, "MaxFrame is -1"},
		{frame.LengthFieldOptions{MaxFrame: 3}, "MaxFrame is 3"},
		{frame.LengthFieldOptions{MaxFrame: 4}, ""},
		{frame.LengthFieldOptions{Offset: -1}, "Offset is -1"},
		{frame.LengthFieldOptions{Offset: 7, MaxFrame: 10}, "Offset is 7"},
		{frame.LengthFieldOptions{Offset: 6, MaxFrame: 10}, ""},
		{frame.LengthFieldOptions{Offset: math.MaxInt}, "Offset is"},
		{frame.LengthFieldOptions{Strip: -1}, "Strip is -1"},
		{frame.LengthFieldOptions{Strip: 11, MaxFrame: 10}, "Strip is 11"},
		{frame.LengthFieldOptions{Strip: 10, MaxFrame: 10}, ""},
		{frame.LengthFieldOptions{Strip: 4, Head: []byte("abc")}, "Head has 3 bytes, but must have 4"},
		{frame.LengthFieldOptions{Head: []byte("abc")}, "Head has 3 bytes, but must have 0"},
		{frame.LengthFieldOptions{Strip: 4, Head: []byte("abcd")}, ""},
		{frame.LengthFieldOptions{Adjustment: 7, MaxFrame: 10}, "Adjustment is 7"},
		{frame.LengthFieldOptions{Adjustment: 6, MaxFrame: 10}, ""},
		{frame.LengthFieldOptions{Adjustment: -255, Length: 1}, ""},
		{frame.LengthFieldOptions{Adjustment: -256, Length: 1}, "Adjustment is -256"},
		{frame.LengthFieldOptions{Adjustment: -254, Length: 1, LengthIncludesItself: true}, ""},
		{frame.LengthFieldOptions{Adjustment: -255, Length: 1, LengthIncludesItself: true}, "Adjustment is -255"},
		{frame.LengthFieldOptions{Adjustment: math.MinInt32, Length: 8}, ""},
		{frame.LengthFieldOptions{Adjustment: math.MinInt32, Length: 3}, "Adjustment is -2147483648"},
		{frame.LengthFieldOptions{Adjustment: 1, Strip: 255, Length: 1, MaxFrame: 300}, ""},
		{frame.LengthFieldOptions{Adjustment: -1, Strip: 256, Length: 1, MaxFrame: 300}, "Adjustment is -1"},
	} {
		codec, err := frame.NewLengthField(c.o)
		constructed(t, c.o, codec, err, c.want)
	}
}

// TestLengthFieldAnyOptions builds frames from the layout of any options, byte by byte, and decodes and encodes them.
func TestLengthFieldAnyOptions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := frame.LengthFieldOptions{
			LittleEndian:         rapid.Bool().Draw(rt, "LittleEndian"),
			Offset:               rapid.IntRange(0, 10).Draw(rt, "Offset"),
			Length:               rapid.SampledFrom([]int{1, 2, 3, 4, 8}).Draw(rt, "Length"),
			Adjustment:           rapid.IntRange(-30, 30).Draw(rt, "Adjustment"),
			LengthIncludesItself: rapid.Bool().Draw(rt, "LengthIncludesItself"),
			Strip:                rapid.IntRange(0, 30).Draw(rt, "Strip"),
			FailLate:             rapid.Bool().Draw(rt, "FailLate"),
			MaxFrame:             rapid.IntRange(1, 100).Draw(rt, "MaxFrame"),
		}
		codec, err := frame.NewLengthField(o)
		if err != nil {
			rt.Skip()
		}
		stream := rapid.SliceOfN(rapid.Byte(), o.Offset+o.Length, 120).Draw(rt, "frame")
		said := len(stream) - o.Offset - o.Length - o.Adjustment
		if o.LengthIncludesItself {
			said += o.Length
		}
		if said < 0 || said > 255 && o.Length == 1 {
			rt.Skip()
		}
		for i := range o.Length {
			shift := 8 * i
			at := o.Offset + o.Length - 1 - i
			if o.LittleEndian {
				at = o.Offset + i
			}
			stream[at] = byte(said >> shift)
		}

		tb := quiet{t, rt}
		got := feed(tb, codec, stream, each(len(stream)), false)
		if len(stream) > o.MaxFrame || len(stream) < o.Strip {
			require.Empty(rt, got.Messages)
			require.NotNil(rt, got.Err)
			require.Equal(rt, int64(o.Offset), got.Err.Offset)
			return
		}
		m := stream[o.Strip:]
		same(tb, "byte by byte", got, outcome{Messages: [][]byte{m}})
		o.Head = stream[:o.Strip]
		again := encode(tb, must(frame.NewLengthField(o)), m)
		require.Equal(rt, string(stream), string(again), "encoded again")
	})
}
