package frame_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/frame"
)

func TestNetstring(t *testing.T) {
	const most = "9999999999999999999" // 19 digits
	decode(t, frame.Netstring{}, []decoded{
		{p: "", need: 1},
		{p: "0", need: 1},
		{p: "0:", need: 1},
		{p: "0:,", n: 3},
		{p: "12", need: 1},
		{p: "12:", need: 13},
		{p: "12:hello world!", need: 1},
		{p: "12:hello world!,3", m: "hello world!", n: 16},
		{p: "16777216:", need: 16777217},
		{p: "16777217:", err: frame.ErrTooLarge, what: "payload of 16777217 bytes exceeds the limit of 16777216"},
		{p: most, need: 1},
		{p: most + ":", err: frame.ErrTooLarge, what: "payload of " + most + " bytes"},
		{p: most + "0", err: frame.ErrMalformed, offset: 19, what: "more than 19 digits"},
		{p: ":", err: frame.ErrMalformed, what: "a length has ':' in it"},
		{p: ",", err: frame.ErrMalformed, what: "a length has ',' in it"},
		{p: "-1:", err: frame.ErrMalformed, what: "a length has '-' in it"},
		{p: "1 :", err: frame.ErrMalformed, offset: 1, what: "a length has ' ' in it"},
		{p: "1\x00", err: frame.ErrMalformed, offset: 1, what: `a length has '\x00' in it`},
		{p: "00:,", err: frame.ErrMalformed, what: "begins with 0"},
		{p: "01:a,", err: frame.ErrMalformed, what: "begins with 0"},
		{p: "1:ab", err: frame.ErrMalformed, offset: 3, what: "ends with 'b', not with a comma"},
		{p: "0:0:,", err: frame.ErrMalformed, offset: 2, what: "ends with '0', not with a comma"},
	})
	decode(t, frame.Netstring{MaxPayload: -1}, []decoded{
		{p: "0:,", n: 3},
		{p: "1:", err: frame.ErrTooLarge, what: "of 1 bytes exceeds the limit of 0"},
	})
	decode(t, frame.Netstring{MaxPayload: math.MaxInt}, []decoded{
		{p: strconv.Itoa(math.MaxInt) + ":", err: frame.ErrTooLarge, what: strconv.Itoa(math.MaxInt - 21)},
	})
	appendEach(t, frame.Netstring{MaxPayload: 10}, []encoded{
		{m: "", out: "0:,"},
		{m: a(9), out: "9:" + a(9) + ","},
		{m: a(10), out: "10:" + a(10) + ","},
		{m: a(11), err: frame.ErrTooLarge, offset: 10, what: "payload of 11 bytes exceeds the limit of 10"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{
		frame.Netstring{}:                        16<<20 + 21,
		frame.Netstring{MaxPayload: 1}:           22,
		frame.Netstring{MaxPayload: -1}:          21,
		frame.Netstring{MaxPayload: math.MaxInt}: math.MaxInt,
	})
}

func TestLSP(t *testing.T) {
	const two = "Content-Length: 2\r\n\r\n"
	decode(t, frame.LSP{}, []decoded{
		{p: "", need: 4},
		{p: "Content-Length: 2\r", need: 3},
		{p: "Content-Length: 2\r\n", need: 2},
		{p: "Content-Length: 2\r\n\r", need: 1},
		{p: two, need: 2},
		{p: two + "{", need: 1},
		{p: two + "{}", m: "{}", n: 23},
		{p: two + "{}" + two, m: "{}", n: 23},
		{p: "Content-Length: 0\r\n\r\n", n: 21},
		{p: "content-LENGTH:\t 002 \r\n\r\n{}", m: "{}", n: 27},
		{p: "Content-Length: 2\r\nContent-Type: text; charset=utf-8\r\n\r\n{}", m: "{}", n: 58},
		{p: "X: Content-Length: 9\r\nContent-Length: 2\r\n\r\n{}", m: "{}", n: 45},
		{p: "Content-Length: 16777216\r\n\r\n", need: 16777216},
		{p: "Content-Length: 16777217\r\n\r\n", err: frame.ErrTooLarge, offset: 28, what: "body of 16777217 bytes exceeds the limit of 16777216"},
		{p: "\r\n\r\n", err: frame.ErrMalformed, what: "has no colon"},
		{p: "X: 1\r\n\r\n", err: frame.ErrMalformed, what: "there is no Content-Length"},
		{p: "Content-Length:\r\n\r\n", err: frame.ErrMalformed, what: "is empty"},
		{p: "Content-Length: two\r\n\r\n", err: frame.ErrMalformed, what: `is "two", which is no number`},
		{p: "Content-Length: -2\r\n\r\n", err: frame.ErrMalformed, what: `is "-2", which is no number`},
		{p: "Content-Length: 2 2\r\n\r\n", err: frame.ErrMalformed, what: `is "2 2", which is no number`},
		{p: "Content-Length : 2\r\n\r\n", err: frame.ErrMalformed, what: "there is no Content-Length"},
		{p: "Content-Length: 99999999999999999999\r\n\r\n", err: frame.ErrMalformed, what: "too large a number"},
		{p: "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", err: frame.ErrMalformed, what: "two fields"},
		{p: "Content-Length: 2\nX: 1\r\n\r\n", err: frame.ErrMalformed, what: "control character"},
		{p: "X: \x7f\r\nContent-Length: 2\r\n\r\n", err: frame.ErrMalformed, what: "control character"},
		{p: a(4096), need: 4},
		{p: a(4096) + "\r\n\r", need: 1},
		{p: a(4100), err: frame.ErrTooLarge, offset: 4096, what: "header of more bytes than the limit of 4096"},
	})
	appendEach(t, frame.LSP{MaxContent: 2}, []encoded{
		{m: "{}", out: two + "{}"},
		{m: "", out: "Content-Length: 0\r\n\r\n"},
		{m: "{ }", err: frame.ErrTooLarge, offset: 2, what: "of 3 bytes exceeds the limit of 2"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{
		frame.LSP{}:                        16<<20 + 4100,
		frame.LSP{MaxContent: -1}:          4100,
		frame.LSP{MaxContent: math.MaxInt}: math.MaxInt,
	})
}

func TestCOBS(t *testing.T) {
	decode(t, frame.COBS{}, []decoded{
		{p: "", need: 1},
		{p: "\x03ab", need: 1},
		{p: "\x03ab\x00c", m: "ab", n: 4},
		{p: "\x01\x00", n: 2},
		{p: "\x00", n: 1},
		{p: "\x00\x00", n: 1},
		{p: "\x02a\x01\x00", m: "a\x00", n: 4},
		{p: "\xff" + a(254) + "\x01\x00", m: a(254), n: 257},
		{p: "\xff" + a(254) + "\x00", m: a(254), n: 256},
		{p: "\x04ab\x00", err: frame.ErrMalformed, what: "a block of 4 bytes, but only 3 are left of its frame"},
		{p: "\x02a\x03b\x00", err: frame.ErrMalformed, offset: 2, what: "a block of 3 bytes, but only 2 are left"},
		{p: "\xff" + a(253) + "\x00", err: frame.ErrMalformed, what: "a block of 255 bytes"},
	})
	decode(t, frame.COBS{MaxMessage: 3}, []decoded{
		{p: "\x04abc\x00", m: "abc", n: 5},
		{p: "\x01\x01\x01\x01\x00", m: "\x00\x00\x00", n: 5},
		{p: "\x05abcd", err: frame.ErrTooLarge, offset: 4, what: "message of more bytes than the limit of 3"},
		{p: "\x05abcd\x00", err: frame.ErrTooLarge, offset: 4, what: "limit of 3"},
	})
	decode(t, frame.COBS{MaxMessage: 254}, []decoded{
		{p: "\xff" + a(254) + "\x00", m: a(254), n: 256},
		{p: "\xff" + a(254) + "\x01\x00", m: a(254), n: 257},
		{p: "\xff" + a(254) + "\x02\x00", err: frame.ErrMalformed, offset: 255, what: "a block of 2 bytes"},
		{p: "\x80" + a(127) + "\x80" + a(127) + "\x00", err: frame.ErrTooLarge, offset: 256, what: "limit of 254"},
	})
	decode(t, frame.COBS{MaxMessage: -1}, []decoded{
		{p: "\x01\x00", n: 2},
		{p: "\x02a", err: frame.ErrTooLarge, offset: 1, what: "limit of 0"},
	})
	appendEach(t, frame.COBS{MaxMessage: 3}, []encoded{
		{m: "", out: "\x01\x00"},
		{m: "a\x00b", out: "\x02a\x02b\x00"},
		{m: "abcd", err: frame.ErrTooLarge, offset: 3, what: "message of 4 bytes exceeds the limit of 3"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{
		frame.COBS{}:                65536 + 258 + 2,
		frame.COBS{MaxMessage: 253}: 255,
		frame.COBS{MaxMessage: 254}: 257,
		frame.COBS{MaxMessage: 508}: 512,
		frame.COBS{MaxMessage: -1}:  2,
	})
	assert.GreaterOrEqual(t, frame.COBS{MaxMessage: math.MaxInt}.MaxSize(), math.MaxInt-math.MaxInt/200)
}
