package frame_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/frame"
)

// a is a string of n bytes.
func a(n int) string { return strings.Repeat("a", n) }

func TestU64(t *testing.T) {
	decode(t, frame.U64{}, []decoded{
		{p: "", need: 8},
		{p: "\x00", need: 7},
		{p: "\x00\x00\x00\x00\x00\x00\x00", need: 1},
		{p: "\x00\x00\x00\x00\x00\x00\x00\x00", n: 8},
		{p: "\x01\x00\x00\x00\x00\x00\x00\x00", need: 1},
		{p: "\x01\x00\x00\x00\x00\x00\x00\x00a", m: "a", n: 9},
		{p: "\x01\x00\x00\x00\x00\x00\x00\x00ab", m: "a", n: 9},
		{p: "\x00\x01\x00\x00\x00\x00\x00\x00" + a(255), need: 1},
		{p: "\x00\x01\x00\x00\x00\x00\x00\x00" + a(256), m: a(256), n: 264},
		{p: "\x00\x00\x00\x01\x00\x00\x00\x00", need: 16 << 20},
		{
			p:   "\x01\x00\x00\x01\x00\x00\x00\x00",
			err: frame.ErrTooLarge, what: "payload of 16777217 bytes exceeds the limit of 16777216",
		},
		{p: "\x00\x00\x00\x00\x01\x00\x00\x00", err: frame.ErrTooLarge, what: "4294967296 bytes"},
		{p: "\x00\x00\x00\x00\x00\x00\x00\x80", err: frame.ErrTooLarge, what: "9223372036854775808 bytes"},
		{p: "\xff\xff\xff\xff\xff\xff\xff\xff", err: frame.ErrTooLarge, what: "18446744073709551615 bytes"},
	})
	decode(t, frame.U64{MaxPayload: 2}, []decoded{
		{p: "\x02\x00\x00\x00\x00\x00\x00\x00ab", m: "ab", n: 10},
		{p: "\x03\x00\x00\x00\x00\x00\x00\x00abc", err: frame.ErrTooLarge, what: "of 3 bytes exceeds the limit of 2"},
	})
	decode(t, frame.U64{MaxPayload: -1}, []decoded{
		{p: "\x00\x00\x00\x00\x00\x00\x00\x00", n: 8},
		{p: "\x01\x00\x00\x00\x00\x00\x00\x00", err: frame.ErrTooLarge, what: "of 1 bytes exceeds the limit of 0"},
	})
	decode(t, frame.U64{MaxPayload: math.MaxInt}, []decoded{
		{p: "\xff\xff\xff\xff\xff\xff\xff\x7f", err: frame.ErrTooLarge, what: strconv.Itoa(math.MaxInt - 8)},
	})
	appendEach(t, frame.U64{MaxPayload: 2}, []encoded{
		{m: "", out: "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{m: "ab", out: "\x02\x00\x00\x00\x00\x00\x00\x00ab"},
		{m: "abc", err: frame.ErrTooLarge, offset: 2, what: "of 3 bytes exceeds the limit of 2"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{
		frame.U64{}:                         16<<20 + 8,
		frame.U64{MaxPayload: 1}:            9,
		frame.U64{MaxPayload: -1}:           8,
		frame.U64{MaxPayload: math.MinInt}:  8,
		frame.U64{MaxPayload: math.MaxInt}:  math.MaxInt,
		frame.Varint{}:                      16<<20 + 10,
		frame.Varint{MaxPayload: -5}:        10,
		frame.Varint{MaxPayload: 1}:         11,
		frame.Checksum32{}:                  16<<20 + 8,
		frame.Checksum32{MaxPayload: 1}:     9,
		frame.Simple{}:                      65539,
		frame.Line{}:                        65538,
		frame.Line{MaxLine: 1}:              3,
		frame.Line{MaxLine: -1}:             2,
		frame.Line{MaxLine: math.MaxInt}:    math.MaxInt,
		must(frame.NewFixed(math.MaxInt)):   math.MaxInt,
		frame.Varint{MaxPayload: 1<<31 - 1}: min(1<<31-1, math.MaxInt-10) + 10,
	})
}

func TestSimple(t *testing.T) {
	decode(t, frame.Simple{}, []decoded{
		{p: "", need: 1},
		{p: "\x01", need: 2},
		{p: "\x01\x00", need: 1},
		{p: "\x01\x00\x00", need: 1},
		{p: "\x01\x00\x00\x17", n: 4},
		{p: "\x01\x00\x01", need: 2},
		{p: "\x01\x00\x01\x17", need: 1},
		{p: "\x01\x00\x01a\x17\x01", m: "a", n: 5},
		{p: "\x01\x01\x00", need: 257},
		{p: "\x01\xff\xff" + a(65535), need: 1},
		{p: "\x01\xff\xff" + a(65535) + "\x17", m: a(65535), n: 65539},
		{p: "\x00", err: frame.ErrMalformed, what: "begins with 0x00, not with 0x01"},
		{p: "\x17\x00\x00\x17", err: frame.ErrMalformed, what: "begins with 0x17, not with 0x01"},
		{p: "\x01\x00\x00\x01", err: frame.ErrMalformed, offset: 3, what: "ends with 0x01, not with 0x17"},
		{p: "\x01\x00\x02ab\x00", err: frame.ErrMalformed, offset: 5, what: "ends with 0x00, not with 0x17"},
	})
	appendEach(t, frame.Simple{}, []encoded{
		{m: "", out: "\x01\x00\x00\x17"},
		{m: a(258), out: "\x01\x01\x02" + a(258) + "\x17"},
		{m: a(65535), out: "\x01\xff\xff" + a(65535) + "\x17"},
		{m: a(65536), err: frame.ErrTooLarge, offset: 65535, what: "of 65536 bytes exceeds the limit of 65535"},
	})
}

func TestChecksum32(t *testing.T) {
	decode(t, frame.Checksum32{}, []decoded{
		{p: "", need: 4},
		{p: "\x00\x00\x00", need: 1},
		{p: "\x00\x00\x00\x00", need: 4},
		{p: "\x00\x00\x00\x00\x00\x00\x00\x00", n: 8},
		{p: "\x00\x00\x00\x02ab\x00\x00\x00", need: 1},
		{p: "\x00\x00\x00\x02ab\x00\x00\x00\xc3", m: "ab", n: 10},
		{p: "\x00\x00\x00\x02\xff\xff\x00\x00\x01\xfe", m: "\xff\xff", n: 10},
		{
			p:   "\x00\x00\x00\x02ab\x00\x00\x01\x00",
			err: frame.ErrMalformed, offset: 6, what: "add up to 256, but that is 195",
		},
		{p: "\x00\x00\x00\x00\x00\x00\x00\x01", err: frame.ErrMalformed, offset: 4, what: "1, but that is 0"},
		{p: "\x01\x00\x00\x00", need: 16<<20 + 4},
		{p: "\x01\x00\x00\x01", err: frame.ErrTooLarge, what: "of 16777217 bytes exceeds the limit of 16777216"},
		{p: "\x80\x00\x00\x00", err: frame.ErrTooLarge, what: "of 2147483648 bytes"},
		{p: "\xff\xff\xff\xff", err: frame.ErrTooLarge, what: "of 4294967295 bytes"},
	})
	appendEach(t, frame.Checksum32{MaxPayload: 3}, []encoded{
		{m: "", out: "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{m: "abc", out: "\x00\x00\x00\x03abc\x00\x00\x01\x26"},
		{m: "abcd", err: frame.ErrTooLarge, offset: 3, what: "of 4 bytes exceeds the limit of 3"},
	})
	most := min(math.MaxInt, math.MaxUint32+8)
	sizes(t, map[frame.Codec[[]byte]]int{frame.Checksum32{MaxPayload: math.MaxInt}: most})
}

// TestChecksum32Sum compares the sum with one that is made byte by byte.
func TestChecksum32Sum(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := rapid.SliceOfN(rapid.OneOf(rapid.Just(byte(0xff)), rapid.Byte()), 0, 3000).Draw(rt, "message")
		var sum uint32
		for _, b := range m {
			sum += uint32(b)
		}
		out, err := frame.Checksum32{}.Append(nil, m)
		require.NoError(rt, err)
		end := out[len(out)-4:]
		require.Equal(rt, sum, uint32(end[0])<<24|uint32(end[1])<<16|uint32(end[2])<<8|uint32(end[3]), "the sum of %d bytes", len(m))
	})
}

func TestVarint(t *testing.T) {
	const nine = "\x80\x80\x80\x80\x80\x80\x80\x80\x80"
	decode(t, frame.Varint{}, []decoded{
		{p: "", need: 1},
		{p: "\x00", n: 1},
		{p: "\x01", need: 1},
		{p: "\x01ab", m: "a", n: 2},
		{p: "\x7f" + a(127), m: a(127), n: 128},
		{p: "\x80", need: 1},
		{p: "\x80\x01" + a(127), need: 1},
		{p: "\x80\x01" + a(128), m: a(128), n: 130},
		{p: "\xac\x02", need: 300},
		{p: "\x81\x00a", m: "a", n: 3},
		{p: nine, need: 1},
		{p: nine + "\x00a", n: 10},
		{p: "\x80\x80\x80\x08", need: 16 << 20},
		{p: "\x81\x80\x80\x08", err: frame.ErrTooLarge, what: "of 16777217 bytes exceeds the limit of 16777216"},
		{p: "\x80\x80\x80\x80\x10", err: frame.ErrTooLarge, what: "of 4294967296 bytes"},
		{p: nine + "\x01", err: frame.ErrTooLarge, what: "of 9223372036854775808 bytes"},
		{p: nine + "\x02", err: frame.ErrMalformed, offset: 9, what: "more than 64 bits"},
		{p: nine + "\x80", err: frame.ErrMalformed, offset: 9, what: "more than 64 bits"},
	})
	decode(t, frame.Varint{MaxPayload: -1}, []decoded{
		{p: "\x00", n: 1},
		{p: "\x01", err: frame.ErrTooLarge, what: "of 1 bytes exceeds the limit of 0"},
	})
	decode(t, frame.Varint{MaxPayload: math.MaxInt}, []decoded{
		{p: "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", err: frame.ErrTooLarge, what: strconv.Itoa(math.MaxInt - 10)},
	})
	appendEach(t, frame.Varint{MaxPayload: 300}, []encoded{
		{m: "", out: "\x00"},
		{m: a(127), out: "\x7f" + a(127)},
		{m: a(128), out: "\x80\x01" + a(128)},
		{m: a(300), out: "\xac\x02" + a(300)},
		{m: a(301), err: frame.ErrTooLarge, offset: 300, what: "of 301 bytes exceeds the limit of 300"},
	})
}

func TestFixed(t *testing.T) {
	four := must(frame.NewFixed(4))
	decode(t, four, []decoded{
		{p: "", need: 4},
		{p: "abc", need: 1},
		{p: "abcd", m: "abcd", n: 4},
		{p: "abcde", m: "abcd", n: 4},
	})
	appendEach(t, four, []encoded{
		{m: "abcd", out: "abcd"},
		{m: "abc", err: frame.ErrMalformed, offset: 3, what: "of 3 bytes where each has 4"},
		{m: "abcde", err: frame.ErrTooLarge, offset: 4, what: "of 5 bytes exceeds the limit of 4"},
		{m: "", err: frame.ErrMalformed, what: "of 0 bytes"},
	})
	for _, size := range []int{0, -1, math.MinInt} {
		codec, err := frame.NewFixed(size)
		constructed(t, size, codec, err, strconv.Itoa(size))
	}
}
