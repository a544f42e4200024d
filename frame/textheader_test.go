package frame_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

func TestTextHeader(t *testing.T) {
	decodeAs(t, nats, written, []decoded{
		{p: "", need: 2},
		{p: "P", need: 2},
		{p: "PING\r", need: 1},
		{p: "PING\r\n", m: "PING|", n: 6},
		{p: "PUB a 5\r\n", need: 7},
		{p: "PUB a 5\r\nhello", need: 2},
		{p: "PUB a 5\r\nhello\r\nPING", m: "PUB a 5|hello", n: 16},
		{p: "PUB a 0\r\n\r\n", m: "PUB a 0|", n: 11},
		{p: "\r\n", m: "|", n: 2},
		{p: "PUB a 5\r\nhello\n\r", err: frame.ErrMalformed, offset: 14, what: `a body ends with "\n\r", not with "\r\n"`},
		{p: "PUB a five\r\n", err: frame.ErrMalformed, what: `strconv.ParseUint: parsing "five"`},
		{p: "PUB a -1\r\n", err: frame.ErrMalformed, what: `parsing "-1"`},
		{p: "PUB a 1048576\r\n", need: 1048578},
		{p: "PUB a 1048577\r\n", err: frame.ErrTooLarge, offset: 15, what: "body of 1048577 bytes exceeds the limit of 1048576"},
		{p: "PUB a 2147483647\r\n", err: frame.ErrTooLarge, offset: 18, what: "body of 2147483647 bytes"},
		{p: a(4097), need: 1},
		{p: a(4098), err: frame.ErrTooLarge, offset: 4096, what: "header of more bytes than the limit of 4096"},
		{p: a(4097) + "\r\n", err: frame.ErrTooLarge, offset: 4096, what: "header of more bytes than the limit of 4096"},
		{p: a(4096) + "\r\n", m: a(4096) + "|", n: 4098},
	})
	appendAs(t, nats, read, []encoded{
		{m: "PING", out: "PING\r\n"},
		{m: "PUB a 5|hello", out: "PUB a 5\r\nhello\r\n"},
		{m: "PUB a 0|", out: "PUB a 0\r\n\r\n"},
		{m: "PUB a 4|hello", err: frame.ErrMalformed, offset: 7, what: "tells a body of 4 bytes, but it has 5"},
		{m: "PING|hello", err: frame.ErrMalformed, offset: 4, what: "tells a body of 0 bytes, but it has 5"},
		{m: "PI\r\nNG", err: frame.ErrMalformed, offset: 2, what: "its end in it"},
		{m: "PUB a b|", err: frame.ErrMalformed, what: `parsing "b"`},
		{m: a(4097), err: frame.ErrTooLarge, offset: 4096, what: "header of 4097 bytes exceeds the limit of 4096"},
	})
	assert.Equal(t, 4096+2+1<<20+2, nats.MaxSize())
}

func TestTextHeaderUntilTrailer(t *testing.T) {
	decodeAs(t, stomp, written, []decoded{
		{p: "SEND\n", need: 1},
		{p: "SEND\n\n", need: 1},
		{p: "SEND\n\nhello", need: 1},
		{p: "SEND\n\nhello\x00", m: "SEND|hello", n: 12},
		{p: "SEND\n\n\x00\n", m: "SEND|", n: 7},
		{p: "SEND\r\na:b\r\n\r\nhello\x00", m: "SEND\r\na:b\r|hello", n: 19},
		{p: "SEND\ncontent-length:3\n\na\x00b\x00", m: "SEND\ncontent-length:3|a\x00b", n: 27},
		{p: ":\n\n", err: frame.ErrMalformed, what: "a header of no command"},
	})
	appendAs(t, stomp, read, []encoded{
		{m: "SEND|hello", out: "SEND\n\nhello\x00"},
		{m: "SEND", out: "SEND\n\n\x00"},
		{m: "SEND|he\x00llo", err: frame.ErrMalformed, offset: 6, what: "has that in it"},
		{m: "SEND\n|", err: frame.ErrMalformed, offset: 4, what: "makes another one"},
	})
	short := must(frame.NewTextHeader(frame.TextHeaderOptions{
		Ends: [][]byte{{'\n'}}, Trailer: []byte("--"), MaxHeader: 3, MaxBody: 2,
		Length: func([]byte) (int, error) { return frame.UntilTrailer, nil },
	}))
	decodeAs(t, short, written, []decoded{
		{p: "abc\nde--", m: "abc|de", n: 8},
		{p: "abc\nde-", need: 1},
		{p: "abc\n", need: 2},
		{p: "abc\ndefg", err: frame.ErrTooLarge, offset: 6, what: "body of more bytes than the limit of 2"},
		{p: "abc\ndef--", err: frame.ErrTooLarge, offset: 6, what: "body of more bytes than the limit of 2"},
		{p: "abc\n---", m: "abc|", n: 6},
	})
	appendAs(t, short, read, []encoded{
		{m: "a|b-", err: frame.ErrMalformed, offset: 2, what: "makes another one"},
		{m: "a|bcd", err: frame.ErrTooLarge, offset: 3, what: "body of 3 bytes exceeds the limit of 2"},
	})
}

// TestTextHeaderErrors has Length return errors of all kinds.
func TestTextHeaderErrors(t *testing.T) {
	said, refusal := frame.UntilTrailer, error(nil)
	codec := must(frame.NewTextHeader(frame.TextHeaderOptions{Length: func([]byte) (int, error) { return said, refusal }}))
	for _, c := range []struct {
		refusal, kind error
		offset        int64
		what          string
	}{
		{nil, frame.ErrMalformed, 0, "until the trailer, but there is none"},
		{errors.New("no"), frame.ErrMalformed, 0, "no"},
		{fmt.Errorf("one gigabyte: %w", frame.ErrTooLarge), frame.ErrTooLarge, 0, "one gigabyte: message too large"},
		{&frame.Error{Codec: "x", Offset: 2, What: "no", Err: frame.ErrMalformed, Skipped: true}, frame.ErrMalformed, 2, "no"},
		{&frame.Error{Offset: 9, What: "no", Err: frame.ErrTooLarge}, frame.ErrTooLarge, 6, "no"},
		{&frame.Error{Offset: -9, What: "no", Err: frame.ErrTooLarge}, frame.ErrTooLarge, 0, "no"},
	} {
		refusal = c.refusal
		_, _, _, err := codec.NewDecoder().Decode([]byte("header\r\n\r\n"))
		isError(t, "header", err, c.kind, c.offset, c.what)
		var e *frame.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "TextHeader", e.Codec)
		assert.False(t, e.Skipped, "of a header that was refused nobody knows the size")
	}
	said, refusal = -3, nil
	_, _, _, err := codec.NewDecoder().Decode([]byte("header\r\n\r\n"))
	isError(t, "a size", err, frame.ErrMalformed, 0, "a body of -3 bytes")
}

// TestTextHeaderSkips drops bodies that are too large, with their trailers.
func TestTextHeaderSkips(t *testing.T) {
	o := natsOptions
	o.MaxBody, o.SkipTooLarge = 9, true
	codec := must(frame.NewTextHeader(o))
	const stream = "PING\r\nPUB a 10\r\n0123456789\r\nPUB a 1\r\na\r\n"
	want := frametest.Outcome[frame.Message]{
		Messages: []frame.Message{{Header: []byte("PING")}, {Header: []byte("PUB a 1"), Body: []byte("a")}},
		Skipped: []frametest.Skipped{{Behind: 1, Err: &frame.Error{
			Codec: "TextHeader", Offset: 16, What: "body of 10 bytes exceeds the limit of 9", Err: frame.ErrTooLarge, Skipped: true,
		}}},
	}
	cutOnce(t, codec, stream, want)
}

func TestTextHeaderOptions(t *testing.T) {
	length := func([]byte) (int, error) { return 0, nil }
	for _, c := range []struct {
		o    frame.TextHeaderOptions
		want string
	}{
		{frame.TextHeaderOptions{}, "Length is nil"},
		{frame.TextHeaderOptions{Length: length}, ""},
		{frame.TextHeaderOptions{Length: length, Ends: [][]byte{}}, "Ends is empty"},
		{frame.TextHeaderOptions{Length: length, Ends: [][]byte{{'a'}, {}}}, "Ends[1] is empty"},
		{frame.TextHeaderOptions{Length: length, Ends: [][]byte{[]byte("ab"), {'a'}}}, `Ends[0], "ab", is never found`},
		{frame.TextHeaderOptions{Length: length, MaxHeader: -1}, "MaxHeader is -1"},
		{frame.TextHeaderOptions{Length: length, MaxBody: -1}, "MaxBody is -1"},
		{frame.TextHeaderOptions{Length: length, MaxBody: math.MaxInt, MaxHeader: math.MaxInt, Trailer: []byte("t")}, ""},
	} {
		codec, err := frame.NewTextHeader(c.o)
		constructed(t, c.o.MaxHeader, codec, err, c.want)
		if err == nil {
			assert.Positive(t, codec.MaxSize())
		}
	}
}
