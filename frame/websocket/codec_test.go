package websocket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
)

// masked makes a client's frame of a header without mask and a payload, with a mask of its own.
func masked(header []byte, payload string) []byte {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	out := append(bytes.Clone(header), mask[:]...)
	out[1] |= 0x80
	for i := range len(payload) {
		out = append(out, payload[i]^mask[i%4])
	}
	return out
}

// decoded are the frames of wire, which comes in pieces that are cut everywhere that step says, unmasked.
func decoded(t testing.TB, c websocket.Codec, wire []byte, step int) (frames []websocket.Frame, err error) {
	d := c.NewDecoder()
	var in []byte
	wait := 1
	for len(wire) > 0 || len(in) > 0 {
		n := min(step, len(wire))
		in, wire = append(in, wire[:n]...), wire[n:]
		for len(in) >= wait {
			f, n, need, err := d.Decode(in)
			if err != nil {
				return frames, err
			}
			if need > 0 {
				require.Zero(t, n)
				require.LessOrEqual(t, len(in)+need, c.MaxSize(), "need")
				wait = len(in) + need
				break
			}
			require.Positive(t, n)
			f.Payload = bytes.Clone(f.Payload)
			f.Unmask()
			frames = append(frames, f)
			in, wait = in[n:], 1
		}
		if len(wire) == 0 {
			break
		}
	}
	_, ok, err := d.End(in)
	require.False(t, ok)
	return frames, err
}

func TestDecodeExamplesOfTheRFC(t *testing.T) { // RFC 6455, section 5.7
	server, client := websocket.Codec{}, websocket.Codec{Client: true}
	for _, k := range []struct {
		name  string
		codec websocket.Codec
		wire  []byte
		want  []websocket.Frame
	}{
		{"unmasked text", client, []byte{0x81, 5, 'H', 'e', 'l', 'l', 'o'}, []websocket.Frame{{Opcode: websocket.Text, Fin: true, Payload: []byte("Hello")}}},
		{"masked text", server, []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58},
			[]websocket.Frame{{Opcode: websocket.Text, Fin: true, Mask: [4]byte{0x37, 0xfa, 0x21, 0x3d}, Payload: []byte("Hello")}}},
		{"fragments", client, []byte{1, 3, 'H', 'e', 'l', 0x80, 2, 'l', 'o'}, []websocket.Frame{
			{Opcode: websocket.Text, Payload: []byte("Hel")}, {Opcode: websocket.Continuation, Fin: true, Payload: []byte("lo")},
		}},
		{"256 bytes", client, append([]byte{0x82, 126, 1, 0}, make([]byte, 256)...), []websocket.Frame{{Opcode: websocket.Binary, Fin: true, Payload: make([]byte, 256)}}},
		{"64 KiB", client, append([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 65536)...), []websocket.Frame{{Opcode: websocket.Binary, Fin: true, Payload: make([]byte, 65536)}}},
	} {
		for _, step := range []int{1, 2, 3, 5, 1 << 20} {
			got, err := decoded(t, k.codec, k.wire, step)
			require.NoError(t, err, k.name)
			require.Equal(t, k.want, got, "%s in pieces of %d", k.name, step)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	long := func(first byte, n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{first, 127}, n) }
	server, client := websocket.Codec{}, websocket.Codec{Client: true}
	for _, k := range []struct {
		name  string
		codec websocket.Codec
		wire  []byte
		code  websocket.StatusCode
	}{
		{"RSV1", server, masked([]byte{0xc1, 0}, ""), 1002},
		{"RSV2", server, masked([]byte{0xa1, 0}, ""), 1002},
		{"RSV3", server, masked([]byte{0x91, 0}, ""), 1002},
		{"RSV2 beside compression", websocket.Codec{Compression: true}, masked([]byte{0xa1, 0}, ""), 1002},
		{"RSV1 of a control frame", websocket.Codec{Compression: true}, masked([]byte{0xc9, 0}, ""), 1002},
		{"RSV1 of a continuation", websocket.Codec{Compression: true}, append(masked([]byte{0x41, 0}, ""), masked([]byte{0xc0, 0}, "")...), 1002},
		{"no mask", server, []byte{0x81, 0}, 1002},
		{"a mask", client, masked([]byte{0x81, 0}, ""), 1002},
		{"opcode 3", server, masked([]byte{0x83, 0}, ""), 1002},
		{"opcode 11", server, masked([]byte{0x8b, 0}, ""), 1002},
		{"a long ping", server, masked([]byte{0x89, 126, 0, 126}, strings.Repeat("x", 126)), 1002},
		{"a fragment of a ping", server, masked([]byte{0x09, 0}, ""), 1002},
		{"a continuation of nothing", server, masked([]byte{0x80, 0}, ""), 1002},
		{"a text within a message", server, append(masked([]byte{0x01, 0}, ""), masked([]byte{0x81, 0}, "")...), 1002},
		{"125 in 16 bits", client, []byte{0x82, 126, 0, 125}, 1002},
		{"65535 in 64 bits", client, long(0x82, math.MaxUint16), 1002},
		{"2^63", client, long(0x82, 1<<63), 1002},
		{"2^63-1", client, long(0x82, 1<<63-1), 1009},
		{"2^64-1", client, long(0x82, math.MaxUint64), 1002},
		{"16 MiB and 1", client, long(0x82, 16<<20+1), 1009},
		{"more than its limit", websocket.Codec{Client: true, MaxMessage: 9}, []byte{0x82, 10}, 1009},
		{"more than its limit in fragments", websocket.Codec{Client: true, MaxMessage: 9}, append([]byte("\x02\x05aaaaa"), 0x80, 5), 1009},
		{"not empty", websocket.Codec{Client: true, MaxMessage: -1}, []byte{0x82, 1}, 1009},
	} {
		for _, step := range []int{1, 1 << 20} {
			_, err := decoded(t, k.codec, k.wire, step)
			var wrong *frame.Error
			require.ErrorAs(t, err, &wrong, k.name)
			assert.Equal(t, k.code, websocket.CodeOf(err), "%s: %v", k.name, err)
		}
	}
}

func TestDecodeEnds(t *testing.T) {
	for wire, fits := range map[string]bool{"": true, "\x81": false, "\x81\x01": false, "\x01\x01a": false, "\x81\x01a": true, "\x89\x00": true} {
		_, err := decoded(t, websocket.Codec{Client: true}, []byte(wire), 1)
		assert.Equal(t, !fits, errors.Is(err, io.ErrUnexpectedEOF), "%q: %v", wire, err)
	}
}

// TestFragmentsAreLimitedAlone takes a message of any length, fragment by fragment.
func TestFragmentsAreLimitedAlone(t *testing.T) {
	c := websocket.Codec{Client: true, MaxMessage: 9, Fragments: true}
	wire := []byte("\x02\x05aaaaa" + strings.Repeat("\x00\x09bbbbbbbbb", 10) + "\x80\x00")
	got, err := decoded(t, c, wire, 4)
	require.NoError(t, err)
	require.Len(t, got, 12)
	_, err = decoded(t, c, append(wire, 0x02, 10), 4)
	require.Equal(t, websocket.StatusTooLarge, websocket.CodeOf(err))
}

func TestAppend(t *testing.T) {
	for _, n := range []int{0, 1, 3, 125, 126, 127, 65535, 65536, 1 << 20} {
		payload := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		for _, client := range []bool{false, true} {
			f := websocket.Frame{Opcode: websocket.Binary, Fin: true, Payload: payload}
			c := websocket.Codec{Client: client}
			wire, err := c.Append([]byte("front"), f)
			require.NoError(t, err)
			require.True(t, bytes.HasPrefix(wire, []byte("front")))
			header, err := c.AppendHeader([]byte("front"), f)
			require.Equal(t, client, err != nil)
			require.True(t, client || bytes.Equal(wire, append(header, payload...)))
			require.LessOrEqual(t, len(wire), 5+c.MaxSize())
			got, err := decoded(t, websocket.Codec{Client: !client}, wire[5:], 1<<30)
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.True(t, bytes.Equal(payload, got[0].Payload), "%d bytes", n)
		}
	}
	for _, f := range []websocket.Frame{
		{Opcode: 3, Fin: true}, {Opcode: 15, Fin: true}, {Opcode: websocket.Ping}, {Opcode: websocket.Close, Fin: true, RSV1: true},
		{Opcode: websocket.Pong, Fin: true, Payload: make([]byte, 126)},
	} {
		p, err := websocket.Codec{}.Append([]byte("front"), f)
		assert.ErrorIs(t, err, frame.ErrMalformed, "%v", f)
		assert.Equal(t, "front", string(p))
		_, err = websocket.Codec{}.AppendHeader(nil, f)
		assert.ErrorIs(t, err, frame.ErrMalformed, "%v", f)
	}
}

// TestMasksDiffer compares the masks of many frames.
func TestMasksDiffer(t *testing.T) {
	seen := map[string]int{}
	for range 5000 {
		wire, err := websocket.Codec{Client: true}.Append(nil, websocket.Frame{Opcode: websocket.Text, Fin: true})
		require.NoError(t, err)
		seen[string(wire[2:6])]++
	}
	require.Greater(t, len(seen), 4990) // of 2^32; that more than a few are equal has no measurable chance
}

func TestNothingIsAllocated(t *testing.T) {
	payload := strings.Repeat("x", 256)
	wire := masked([]byte{0x81, 126, 1, 0}, payload)
	scratch := make([]byte, 0, 1000)
	c := websocket.Codec{}
	d, a := c.NewDecoder(), websocket.NewAssembler(c)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		scratch = append(scratch[:0], wire...)
		f, _, _, err := d.Decode(scratch)
		m, ok, wrong := a.Add(f)
		if err != nil || wrong != nil || !ok || string(m.Data) != payload {
			panic("not decoded")
		}
		answer := websocket.Frame{Opcode: websocket.Text, Fin: true, Payload: m.Data}
		out := scratch[len(scratch):]
		out, _ = c.Append(out, answer)
		_, _ = websocket.Codec{Client: true}.Append(out[:0], answer)
	}))
}
