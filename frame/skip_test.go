package frame_test

import (
	"io"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

// TestSkipTooLarge drops messages in front of others, between and behind them, with every split of the stream.
func TestSkipTooLarge(t *testing.T) {
	large, small, empty := a(300), "nine char", ""
	for name, c := range map[string]struct {
		sender, receiver frame.Codec[[]byte]
		what             string
		at               int64 // where the error is in a frame
	}{
		"U64":        {frame.U64{}, frame.U64{MaxPayload: 9, SkipTooLarge: true}, "payload of 300 bytes exceeds the limit of 9", 0},
		"Checksum32": {frame.Checksum32{}, frame.Checksum32{MaxPayload: 9, SkipTooLarge: true}, "payload of 300 bytes exceeds", 0},
		"Varint":     {frame.Varint{}, frame.Varint{MaxPayload: 9, SkipTooLarge: true}, "payload of 300 bytes exceeds", 0},
		"Netstring":  {frame.Netstring{}, frame.Netstring{MaxPayload: 9, SkipTooLarge: true}, "payload of 300 bytes exceeds", 0},
		"LSP":        {frame.LSP{}, frame.LSP{MaxContent: 9, SkipTooLarge: true}, "body of 300 bytes exceeds", int64(len("Content-Length: 300\r\n\r\n"))},
		"LengthField": {
			must(frame.NewLengthField(frame.LengthFieldOptions{Offset: 1, Length: 2, Strip: 3})),
			must(frame.NewLengthField(frame.LengthFieldOptions{Offset: 1, Length: 2, Strip: 3, MaxFrame: 12, SkipTooLarge: true})),
			"frame of 303 bytes exceeds the limit of 12", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var stream []byte
			var want outcome
			for _, m := range []string{large, small, large, large, empty, small, large} {
				if m == large {
					want.Skipped = append(want.Skipped, frametest.Skipped{Behind: len(want.Messages), Err: &frame.Error{
						Codec: whose(t, c.receiver), Offset: int64(len(stream)) + c.at, Err: frame.ErrTooLarge, Skipped: true,
					}})
				} else {
					want.Messages = append(want.Messages, []byte(m))
				}
				stream = append(stream, encode(t, c.sender, []byte(m))...)
			}
			got := whole(t, c.receiver, stream)
			require.Len(t, got.Skipped, len(want.Skipped))
			for i := range got.Skipped {
				require.Contains(t, got.Skipped[i].Err.What, c.what)
				want.Skipped[i].Err.What = got.Skipped[i].Err.What
			}
			same(t, "whole", got, want)
			for i := range stream {
				same(t, "in two pieces", feed(t, c.receiver, stream, []int{i}, false), want)
				same(t, "in two pieces, when needed", feed(t, c.receiver, stream, []int{i}, true), want)
			}
			same(t, "byte by byte", feed(t, c.receiver, stream, each(len(stream)), true), want)

			d := c.receiver.NewDecoder()
			_, n, need, err := d.Decode(stream[:100])
			require.NoError(t, err)
			assert.Equal(t, 100, n, "what is dropped is consumed")
			assert.Equal(t, 1, need, "nothing is kept")
			_, ok, err := d.End(nil)
			assert.False(t, ok)
			isError(t, "the end", err, io.ErrUnexpectedEOF, 0, "within a frame that is dropped: "+c.what)
		})
	}
}

// whose is the name of a codec in errors.
func whose(t *testing.T, codec frame.Codec[[]byte]) string {
	t.Helper()
	_, err := codec.Append(nil, make([]byte, codec.MaxSize()+1))
	var e *frame.Error
	require.ErrorAs(t, err, &e)
	return e.Codec
}

// TestSkipTheLargest drops a message of as many bytes as a length can say.
func TestSkipTheLargest(t *testing.T) {
	for _, c := range []struct {
		codec  frame.Codec[[]byte]
		stream string
	}{
		{frame.U64{SkipTooLarge: true}, "\xff\xff\xff\xff\xff\xff\xff\xff"},
		{frame.Varint{SkipTooLarge: true}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{frame.Netstring{SkipTooLarge: true}, "9999999999999999999:"},
		{frame.LSP{SkipTooLarge: true}, "Content-Length: " + strconv.Itoa(math.MaxInt) + "\r\n\r\n"},
		{must(frame.NewLengthField(frame.LengthFieldOptions{Length: 8, Adjustment: 1 << 20, SkipTooLarge: true})), "\x7f\xff\xff\xff\xff\xff\xff\xff"},
	} {
		d := c.codec.NewDecoder()
		for i, p := range []string{c.stream, a(1000), a(1 << 20)} {
			_, n, need, err := d.Decode([]byte(p))
			require.NoError(t, err, "%q, piece %d", c.stream, i)
			require.Equal(t, len(p), n, "%q, piece %d", c.stream, i)
			require.Equal(t, 1, need, "%q, piece %d", c.stream, i)
		}
	}
}
