package websocket_test

import (
	"bytes"
	"compress/flate"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame/websocket"
)

// split makes frames of a payload that is cut at the given places.
func split(kind websocket.Opcode, rsv1 bool, payload []byte, at ...int) (frames []websocket.Frame) {
	last := 0
	for _, i := range append(at, len(payload)) {
		f := websocket.Frame{Opcode: kind, RSV1: rsv1 && last == 0 && len(frames) == 0, Fin: len(frames) == len(at), Payload: bytes.Clone(payload[last:i])}
		if len(frames) > 0 {
			f.Opcode = websocket.Continuation
		}
		frames = append(frames, f)
		last = i
	}
	return frames
}

// assembled are the messages of the frames.
func assembled(c websocket.Codec, frames []websocket.Frame) (all []websocket.Message, err error) {
	a := websocket.NewAssembler(c)
	defer a.Reset()
	steps := 0
	for _, f := range frames {
		m, ok, err := a.Add(f)
		for a.Unfinished() {
			for i := range f.Payload {
				f.Payload[i] = 0xee // its memory may serve others now
			}
			if steps++; steps == 3 {
				a.Restart()
			}
			m, ok, err = a.Continue()
		}
		if err != nil {
			return all, err
		}
		if ok {
			m.Data = bytes.Clone(m.Data)
			all = append(all, m)
		}
	}
	return all, nil
}

// texts are valid and invalid ones, with the first byte at which that shows; -1: only at the end.
var texts = []struct {
	text  string
	valid bool
}{
	{"", true}, {"hello", true}, {"κόσμε", true}, {"Hello-µ@ßöäüàá-UTF-8!!", true}, {"\U0010ffff", true}, {"\xf0\x90\x80\x80", true}, {"日本語", true},
	{"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64", false},
	{"\xf4\x90\x80\x80", false}, {"a\x80", false}, {"\xc0\xaf", false}, {"\xed\xa0\x80", false}, {"\xed\xbf\xbf", false}, {"\xf8\x88\x80\x80\x80", false},
	{"\xce", false}, {"κόσμ\xce", false}, {"\xf0\x9f\x98", false}, {"\xff", false}, {"\xe0\x9f\xbf", false}, {"\xc1\xbf", false}, {"\xf0\x8f\xbf\xbf", false},
}

// TestUTF8OverAllCuts cuts every text into two and into three fragments, in all ways.
func TestUTF8OverAllCuts(t *testing.T) {
	for _, k := range texts {
		for _, fragments := range []bool{false, true} {
			c := websocket.Codec{Fragments: fragments}
			for i := 0; i <= len(k.text); i++ {
				for j := i; j <= len(k.text); j++ {
					for _, at := range [][]int{{}, {i}, {i, j}} {
						got, err := assembled(c, split(websocket.Text, false, []byte(k.text), at...))
						if !k.valid {
							require.Equal(t, websocket.StatusInvalidData, websocket.CodeOf(err), "%q cut at %v", k.text, at)
							continue
						}
						require.NoError(t, err, "%q cut at %v", k.text, at)
						all := ""
						for n, m := range got {
							require.Equal(t, websocket.Text, m.Kind)
							require.Equal(t, n < len(got)-1, m.More)
							all += string(m.Data)
						}
						require.Equal(t, k.text, all)
					}
				}
			}
		}
	}
}

// TestUTF8FailsFast finds in the second of three fragments what no third one can mend.
func TestUTF8FailsFast(t *testing.T) {
	a := websocket.NewAssembler(websocket.Codec{})
	frames := split(websocket.Text, false, []byte("κόσμε\xf4\x90\x80\x80edited"), len("κόσμε\xf4"), len("κόσμε\xf4\x90"))
	_, _, err := a.Add(frames[0])
	require.NoError(t, err)
	_, _, err = a.Add(frames[1])
	require.ErrorIs(t, err, websocket.ErrInvalidData)
}

func TestControlFramesBetweenFragments(t *testing.T) {
	frames := split(websocket.Binary, false, []byte("hello"), 2)
	frames = []websocket.Frame{frames[0], {Opcode: websocket.Ping, Fin: true, Payload: []byte("p")}, frames[1]}
	got, err := assembled(websocket.Codec{}, frames)
	require.NoError(t, err)
	require.Equal(t, []websocket.Message{{Kind: websocket.Ping, Data: []byte("p")}, {Kind: websocket.Binary, Data: []byte("hello")}}, got)
}

func TestAssemblerLimits(t *testing.T) {
	c := websocket.Codec{MaxMessage: 10}
	for _, frames := range [][]websocket.Frame{
		split(websocket.Binary, false, make([]byte, 11)), split(websocket.Binary, false, make([]byte, 11), 5),
	} {
		_, err := assembled(c, frames)
		assert.Equal(t, websocket.StatusTooLarge, websocket.CodeOf(err))
	}
	for _, f := range []websocket.Frame{{Opcode: websocket.Continuation}, {Opcode: websocket.Text}} {
		frames := []websocket.Frame{f}
		if f.Opcode == websocket.Text {
			frames = append(frames, f)
		}
		_, err := assembled(c, frames)
		assert.Equal(t, websocket.StatusProtocolError, websocket.CodeOf(err))
	}
}

func TestDeflate(t *testing.T) {
	for _, n := range []int{0, 1, 100, 32 << 10, 200 << 10} {
		for _, level := range []int{0, flate.HuffmanOnly, 1, 6, 9, 99} {
			text := []byte(strings.Repeat("a text that can be deflated. ", n/29+1)[:n])
			p, smaller := websocket.AppendDeflated(nil, text, level)
			assert.Equal(t, n >= 100, smaller, "%d bytes", n)
			for _, at := range [][]int{{}, {len(p) / 2}, {0, len(p)}} {
				got, err := assembled(websocket.Codec{Compression: true, MaxMessage: n + 10}, split(websocket.Text, true, p, at...))
				require.NoError(t, err)
				require.Len(t, got, 1)
				require.True(t, bytes.Equal(text, got[0].Data))
			}
		}
	}
}

// TestDeflateExamplesOfTheRFC has those of RFC 7692, section 7.2.3, that need no earlier message.
func TestDeflateExamplesOfTheRFC(t *testing.T) {
	for name, p := range map[string]string{
		"one block":                    "\xf2\x48\xcd\xc9\xc9\x07\x00",
		"without compression":          "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
		"BFINAL":                       "\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
		"two blocks":                   "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
		"BFINAL and nothing behind it": "\xf3\x48\xcd\xc9\xc9\x07\x00",
		"many ends":                    "\xf3\x48\xcd\xc9\xc9\x07\x00" + strings.Repeat("\x03\x00", 1000),
	} {
		got, err := assembled(websocket.Codec{Compression: true}, split(websocket.Text, true, []byte(p)))
		require.NoError(t, err, name)
		assert.Equal(t, []websocket.Message{{Kind: websocket.Text, Data: []byte("Hello")}}, got, name)
	}
}

func TestInflateRefuses(t *testing.T) {
	bomb, _ := websocket.AppendDeflated(nil, make([]byte, 10<<20), 9)
	invalidText, _ := websocket.AppendDeflated(nil, []byte("\xff\xff\xff"), 1)
	for _, k := range []struct {
		name string
		p    []byte
		code websocket.StatusCode
	}{
		{"a bomb", bomb, websocket.StatusTooLarge},
		{"garbage", []byte("\xff\xff\xff\xff"), websocket.StatusInvalidData},
		{"half a block", []byte("\xf2\x48\xcd"), websocket.StatusInvalidData},
		{"no UTF-8", invalidText, websocket.StatusInvalidData},
		{"a distance to before the message", []byte("\x4a\x04\x02\x00"), websocket.StatusInvalidData},
		{"a distance to before an end", []byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x4a\x04\x02\x00"), websocket.StatusInvalidData},
		{"nothing", []byte("\x00\x00"), websocket.StatusInvalidData},
	} {
		for _, at := range [][]int{{}, {1}} {
			_, err := assembled(websocket.Codec{Compression: true, MaxMessage: 1 << 20}, split(websocket.Text, true, k.p, at...))
			assert.Equal(t, k.code, websocket.CodeOf(err), "%s: %v", k.name, err)
		}
	}
}

func TestClose(t *testing.T) {
	for code := range websocket.StatusCode(6000) {
		fits := code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006 || code >= 3000 && code <= 4999
		p, err := websocket.AppendClose(nil, code, "why")
		require.Equal(t, fits, err == nil, "%d", code)
		got, err := websocket.ParseClose([]byte{byte(code >> 8), byte(code), 'w', 'h', 'y'})
		require.Equal(t, fits, err == nil, "%d", code)
		if fits {
			require.Equal(t, []byte{byte(code >> 8), byte(code), 'w', 'h', 'y'}, p)
			require.Equal(t, &websocket.CloseError{Code: code, Reason: "why"}, got)
		} else {
			require.Equal(t, websocket.StatusProtocolError, websocket.CodeOf(err))
		}
	}
	p, err := websocket.AppendClose(nil, websocket.StatusNoStatus, "")
	require.NoError(t, err)
	require.Empty(t, p)
	got, err := websocket.ParseClose(nil)
	require.NoError(t, err)
	require.Equal(t, websocket.StatusNoStatus, got.Code)
	for _, p := range []string{"\x03", "\x03\xe8\xff"} {
		_, err = websocket.ParseClose([]byte(p))
		require.Error(t, err)
	}
	for _, reason := range []string{"\xff", strings.Repeat("x", websocket.MostReason+1)} {
		_, err = websocket.AppendClose(nil, websocket.StatusNormalClosure, reason)
		require.Error(t, err)
	}
}
