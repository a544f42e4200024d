package frame_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

func TestVarintField(t *testing.T) {
	const large = "\xff\xff\xff"
	decodeAs(t, mqtt, written, []decoded{
		{p: "", need: 2},
		{p: "\xc0", need: 1},
		{p: "\xc0\x00", m: "\xc0|", n: 2},
		{p: "0\x02", need: 2},
		{p: "0\x02ab0", m: "0|ab", n: 4},
		{p: "0\x80", need: 1},
		{p: "0\x80\x01", need: 128},
		{p: "0\x80\x00", err: frame.ErrMalformed, offset: 2, what: "more bytes than it needs"},
		{p: "0" + large + "\x80", err: frame.ErrMalformed, offset: 4, what: "more than 4 bytes"},
		{p: "0" + large + "\x7f", err: frame.ErrTooLarge, offset: 1, what: "payload of 268435455 bytes exceeds the limit of 16777216"},
	})
	appendAs(t, mqtt, read, []encoded{
		{m: "\xc0|", out: "\xc0\x00"},
		{m: "0|" + a(128), out: "0\x80\x01" + a(128)},
		{m: "|a", err: frame.ErrMalformed, what: "header of 0 bytes where each has 1"},
		{m: "ab|a", err: frame.ErrMalformed, what: "header of 2 bytes where each has 1"},
	})
	ten := must(frame.NewVarintField(frame.VarintFieldOptions{Offset: 2}))
	decodeAs(t, ten, written, []decoded{
		{p: "", need: 3},
		{p: "a", need: 2},
		{p: "ab", need: 1},
		{p: "ab\x82\x80\x00cd", m: "ab|cd", n: 7},
		{p: "ab\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", err: frame.ErrMalformed, offset: 11, what: "more than 64 bits"},
		{p: "ab\xff\xff\xff\xff\xff\xff\xff\xff\xff\x80", err: frame.ErrMalformed, offset: 11, what: "more than 64 bits"},
		{p: "ab\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", err: frame.ErrTooLarge, offset: 2, what: "payload of 18446744073709551615 bytes"},
	})
	one := must(frame.NewVarintField(frame.VarintFieldOptions{Length: 1}))
	assert.Equal(t, 1+127, one.MaxSize(), "what one byte can say")
	_, err := one.Append(nil, frame.Message{Body: make([]byte, 128)})
	isError(t, "128 bytes", err, frame.ErrTooLarge, 127, "payload of 128 bytes exceeds the limit of 127")
	for _, c := range []struct {
		o    frame.VarintFieldOptions
		want string
	}{
		{frame.VarintFieldOptions{Length: 11}, "Length is 11"},
		{frame.VarintFieldOptions{Length: -1}, "Length is -1"},
		{frame.VarintFieldOptions{Offset: -1}, "Offset is -1"},
		{frame.VarintFieldOptions{Offset: math.MaxInt}, "Offset is " + strconv.Itoa(math.MaxInt)},
		{frame.VarintFieldOptions{Offset: math.MaxInt32 - 9}, "Offset is 2147483638"},
		{frame.VarintFieldOptions{MaxPayload: -1}, "MaxPayload is -1"},
		{frame.VarintFieldOptions{MaxPayload: math.MaxInt}, ""},
	} {
		codec, err := frame.NewVarintField(c.o)
		constructed(t, c.o, codec, err, c.want)
		if err == nil {
			assert.Equal(t, math.MaxInt, codec.MaxSize())
		}
	}
}

// TestVarintFieldSkips drops payloads that are too large, with their headers.
func TestVarintFieldSkips(t *testing.T) {
	codec := must(frame.NewVarintField(frame.VarintFieldOptions{Offset: 1, MaxPayload: 9, SkipTooLarge: true}))
	const stream = "a\x01b" + "c\x0a0123456789" + "d\x00"
	want := frametest.Outcome[frame.Message]{
		Messages: []frame.Message{{Header: []byte("a"), Body: []byte("b")}, {Header: []byte("d"), Body: []byte{}}},
		Skipped: []frametest.Skipped{{Behind: 1, Err: &frame.Error{
			Codec: "VarintField", Offset: 4, What: "payload of 10 bytes exceeds the limit of 9", Err: frame.ErrTooLarge, Skipped: true,
		}}},
	}
	cutOnce(t, codec, stream, want)
}
