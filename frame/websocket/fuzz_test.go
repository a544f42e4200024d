package websocket_test

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame/websocket"
)

// FuzzDecoder decodes what a peer may send, whole and in pieces, which must make the same frames and the same end, and
// assembles messages of them.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x81\x05hello\x89\x00\x88\x02\x03\xe8"), uint8(1), uint8(1), int16(100))
	f.Add([]byte("\x01\x03hel\x89\x01p\x80\x02lo"), uint8(1), uint8(3), int16(10))
	f.Add(masked([]byte{0x81, 5}, "hello"), uint8(0), uint8(2), int16(0))
	f.Add([]byte("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), uint8(5), uint8(4), int16(1000))
	f.Add([]byte("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), uint8(1), uint8(9), int16(-1))
	f.Fuzz(func(t *testing.T, data []byte, set, step uint8, most int16) {
		c := websocket.Codec{Client: set&1 != 0, Fragments: set&2 != 0, Compression: set&4 != 0, MaxMessage: int(most)}
		data = data[:min(len(data), 4096)]
		want, wantErr := decoded(t, c, data, len(data)+1)
		got, err := decoded(t, c, data, int(step)+1)
		require.Equal(t, want, got)
		require.Equal(t, wantErr == nil, err == nil, "%v; %v", wantErr, err)
		limit := max(int(most), 0)
		if most == 0 {
			limit = 16 << 20
		}
		messages, _ := assembled(c, want)
		whole := true
		for _, m := range messages {
			if m.Kind.Control() {
				require.LessOrEqual(t, len(m.Data), 125)
				continue
			}
			require.LessOrEqual(t, len(m.Data), limit)
			if whole && !m.More && m.Kind == websocket.Text {
				require.True(t, utf8.Valid(m.Data))
			}
			whole = !m.More
		}
	})
}

// FuzzAppend encodes any frame, which a peer decodes, or which is an error.
func FuzzAppend(f *testing.F) {
	f.Add(uint8(1), true, []byte("hello"), true)
	f.Add(uint8(9), true, make([]byte, 126), false)
	f.Fuzz(func(t *testing.T, opcode uint8, fin bool, payload []byte, client bool) {
		in := websocket.Frame{Opcode: websocket.Opcode(opcode), Fin: fin, Payload: payload}
		wire, err := websocket.Codec{Client: client}.Append(nil, in)
		if err != nil || opcode == 0 {
			return
		}
		got, err := decoded(t, websocket.Codec{Client: !client}, wire, 1<<30)
		require.Equal(t, fin || in.Opcode.Control(), err == nil) // the rest of the message is missing
		require.Len(t, got, 1)
		require.True(t, bytes.Equal(payload, got[0].Payload))
	})
}
