package frame_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/frame"
)

// TestCOBSIsModel compares with an encoder that goes byte by byte, as the article by Cheshire and Baker has it.
func TestCOBSIsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var m []byte
		for range rapid.IntRange(0, 4).Draw(rt, "runs") {
			run := bytes.Repeat([]byte("a"), rapid.SampledFrom([]int{0, 1, 2, 252, 253, 254, 255, 256, 508, 509}).Draw(rt, "size"))
			m = append(append(m, run...), make([]byte, rapid.IntRange(0, 2).Draw(rt, "zeros"))...)
		}
		want := []byte{0}
		code := 0
		for i, b := range m {
			if b != 0 {
				want = append(want, b)
			}
			if b == 0 || len(want)-code == 255 && i < len(m)-1 {
				want[code] = byte(len(want) - code)
				code = len(want)
				want = append(want, 0)
			}
		}
		want[code] = byte(len(want) - code)
		want = append(want, 0)
		got := encode(quiet{t, rt}, frame.COBS{}, m)
		require.Equal(rt, want, got)
		same(quiet{t, rt}, "decoded", whole(quiet{t, rt}, frame.COBS{}, got), outcome{Messages: [][]byte{append([]byte{}, m...)}})
	})
}

// TestCOBSMemory has messages without zeros be a part of the bytes that have come, and others be in memory that is used
// again, unless it is much.
func TestCOBSMemory(t *testing.T) {
	codec := frame.COBS{MaxMessage: 1 << 20}
	next := func(d frame.Decoder[[]byte], m []byte) (got, stream []byte) {
		stream = encode(t, codec, m)
		got, n, _, err := d.Decode(stream)
		require.NoError(t, err)
		require.Equal(t, len(stream), n)
		require.Equal(t, string(m), string(got))
		return got, stream
	}
	d := codec.NewDecoder()
	got, stream := next(d, []byte("without a zero"))
	assert.Same(t, &stream[1], &got[0], "a part of what has come")
	one, stream := next(d, []byte("a zero\x00"))
	assert.NotSame(t, &stream[1], &one[0], "a copy")
	assert.Equal(t, "\x07a zero\x01\x00", string(stream), "what has come is as it was")
	other, _ := next(d, []byte("other\x00"))
	assert.Same(t, &one[0], &other[0], "the memory is used again")
	large, _ := next(d, make([]byte, 70_000))
	other, _ = next(d, make([]byte, 69_000))
	assert.NotSame(t, &large[0], &other[0], "as much memory is not kept")
}
