package websocket_test

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame/websocket"
)

// inflatedBy inflates a message with compress/flate, which is told that it ends by last: a block that is marked so.
func inflatedBy(p []byte, last string) (out []byte, ok bool) {
	from := bytes.NewReader([]byte(string(p) + "\x00\x00\xff\xff" + last))
	for {
		one, err := io.ReadAll(flate.NewReader(from))
		if out = append(out, one...); err != nil || from.Len() <= 4+len(last) {
			return out, err == nil
		}
	}
}

// oracle is what compress/flate thinks of a message: it is one if it can go on with any block, of bits or of bytes.
func oracle(p []byte) (out []byte, ok bool) {
	stored, ok1 := inflatedBy(p, "\x01\x00\x00\xff\xff")
	coded, ok2 := inflatedBy(p, "\x03\x00")
	return stored, ok1 && ok2 && bytes.Equal(stored, coded)
}

// FuzzInflate inflates anything, as compress/flate does, and what was deflated gives itself back.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), uint16(5))
	f.Add(bytes.Repeat([]byte("a"), 1000), uint16(999))
	for _, p := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 1, 9} {
			packed, _ := websocket.AppendDeflated(nil, p[:min(len(p), 5000)], level)
			f.Add(packed, uint16(65535))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, most uint16) {
		data = data[:min(len(data), 1000)]
		c := websocket.Codec{Compression: true, MaxMessage: int(most) + 1}
		got, err := assembled(c, split(websocket.Binary, true, data))
		want, ok := oracle(data)
		switch {
		case err == nil:
			require.True(t, ok, "compress/flate cannot inflate %x", data)
			require.True(t, bytes.Equal(want, got[0].Data), "%x", data)
			require.LessOrEqual(t, len(want), int(most)+1)
		case ok && len(want) <= int(most)+1:
			require.NoError(t, err, "%x", data)
		}
		p, _ := websocket.AppendDeflated(nil, data, 1)
		got, err = assembled(websocket.Codec{Compression: true}, split(websocket.Binary, true, p))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got[0].Data))
	})
}

// samples are messages of all kinds: random, of few symbols, with codes of every length, with near and far repetitions.
func samples() (all [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 150<<10)
	few, skewed := make([]byte, len(random)), make([]byte, len(random))
	for i := range random {
		random[i], few[i] = byte(r.Uint32()), "ab"[r.IntN(2)]
		for skewed[i] = 0; skewed[i] < 40 && r.IntN(5) < 2; skewed[i]++ { // rare symbols have long codes
		}
	}
	var far []byte
	for range 20 {
		at := r.IntN(20 << 10)
		far = append(far, random[at:at+10<<10]...)
	}
	text := strings.Repeat("a text that can be deflated, and that is long. ", 5<<10)
	return [][]byte{nil, {0}, random, few, skewed, far, []byte(text), make([]byte, 300<<10), bytes.Repeat([]byte("abc"), 100<<10)}
}

// TestInflate has messages of other kinds than those of the examples, deflated in all ways.
func TestInflate(t *testing.T) {
	for i, want := range samples() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			p, _ := websocket.AppendDeflated(nil, want, level)
			got, err := assembled(websocket.Codec{Compression: true}, split(websocket.Binary, true, p))
			require.NoError(t, err, "sample %d, level %d", i, level)
			require.True(t, bytes.Equal(want, got[0].Data), "sample %d, level %d", i, level)
			for range 3 { // what was cut off is no message, or is one to compress/flate, too
				at := rand.IntN(len(p))
				short, err := assembled(websocket.Codec{Compression: true}, split(websocket.Binary, true, p[:at]))
				out, ok := oracle(p[:at])
				require.Equal(t, ok, err == nil, "sample %d, level %d, cut at %d: %v", i, level, at, err)
				require.True(t, !ok || bytes.Equal(out, short[0].Data))
			}
		}
	}
}

// TestInflateInSteps inflates what takes long step by step.
func TestInflateInSteps(t *testing.T) {
	const most = 16 << 20
	bomb, _ := websocket.AppendDeflated(nil, make([]byte, most), 9)
	stored := append([]byte{0, 0xff, 0xff, 0, 0}, make([]byte, 65535)...)
	codes, _ := websocket.AppendDeflated(nil, samples()[4][:300], flate.HuffmanOnly)
	for _, k := range []struct {
		name     string
		p        []byte
		inflated int
		steps    int // at least
	}{
		{"a bomb", bomb, most, most >> 17},
		{"many bytes as they are", append(bytes.Repeat(stored, 100), 0), 6_553_500, 6_553_500 >> 17},
		{"many empty blocks", append(bytes.Repeat([]byte("\x00\x00\x00\xff\xff"), 1<<20), 0), 0, 1 << 7},
		{"many blocks with codes of their own", append(bytes.Repeat(append(codes, "\x00\x00\xff\xff"...), 1<<14), 0), 300 << 14, 1 << 8},
	} {
		a := websocket.NewAssembler(websocket.Codec{Compression: true})
		m, ok, err := a.Add(websocket.Frame{Opcode: websocket.Binary, Fin: true, RSV1: true, Payload: k.p})
		steps := 1
		for ; a.Unfinished(); steps++ {
			require.NoError(t, err)
			require.False(t, ok)
			m, ok, err = a.Continue()
		}
		require.NoError(t, err, k.name)
		require.True(t, ok)
		assert.Len(t, m.Data, k.inflated)
		assert.GreaterOrEqual(t, steps, k.steps, k.name)
		assert.LessOrEqual(t, steps, 2*k.steps+1, k.name)
	}
	a := websocket.NewAssembler(websocket.Codec{Compression: true})
	f := websocket.Frame{Opcode: websocket.Binary, Fin: true, RSV1: true, Payload: bomb}
	_, _, err := a.Add(f)
	require.NoError(t, err)
	_, _, err = a.Add(f)
	require.Error(t, err, "a frame in between")
	a.Reset()
	require.False(t, a.Unfinished())
}
