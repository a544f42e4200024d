package frame_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

// goldens are the codecs of the files in testdata, each written by hand from the layout of its format.
var goldens = map[string]golden{
	"u64":        ofBytes(frame.U64{}),
	"simple":     ofBytes(frame.Simple{}),
	"checksum32": ofBytes(frame.Checksum32{}),
	"varint":     ofBytes(frame.Varint{}),
	"fixed":      ofBytes(must(frame.NewFixed(4))),
	"line":       ofBytes(frame.Line{}),
	"line_crlf":  ofBytes(frame.Line{CRLF: true}),
	"netstring":  ofBytes(frame.Netstring{}),
	"cobs":       ofBytes(frame.COBS{}),
	"lsp":        ofBytes(frame.LSP{}),
	"delimiter":  ofBytes(must(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{{0}, []byte("--")}}))),
	"lengthfield": ofBytes(must(frame.NewLengthField(frame.LengthFieldOptions{
		Offset: 1, Length: 2, Adjustment: 1, Strip: 3, Head: []byte{0xca, 0, 0},
	}))),
	"lengthfield_little": ofBytes(must(frame.NewLengthField(frame.LengthFieldOptions{
		LittleEndian: true, Length: 3, LengthIncludesItself: true, Strip: 3,
	}))),
	"pktline":          goldenOf[frame.Pkt]{frame.PktLine{}, pktOf, clonePkt},
	"varintfield_mqtt": goldenOf[frame.Message]{mqtt, messageOf, cloneMessage},
	"textheader_nats":  goldenOf[frame.Message]{nats, messageOf, cloneMessage},
	"textheader_stomp": goldenOf[frame.Message]{stomp, messageOf, cloneMessage},
}

// golden is the codec of a file.
type golden interface {
	// check decodes a stream to messages, each given in parts, and encodes those to the stream.
	check(t *testing.T, stream []byte, messages [][][]byte)
}

type goldenOf[M any] struct {
	codec   frame.Codec[M]
	message func(parts [][]byte) M
	clone   func(m M) M
}

func ofBytes(codec frame.Codec[[]byte]) golden {
	return goldenOf[[]byte]{codec, func(parts [][]byte) []byte { return append([]byte{}, bytes.Join(parts, nil)...) }, bytes.Clone}
}

func (g goldenOf[M]) check(t *testing.T, stream []byte, messages [][][]byte) {
	var want frametest.Outcome[M]
	for _, parts := range messages {
		want.Messages = append(want.Messages, g.message(parts))
	}
	s := frametest.Subject[M]{Codec: g.codec, Clone: g.clone}
	got, err := s.Decode(stream, nil, false)
	require.NoError(t, err)
	require.NoError(t, s.Compare(got, want), "decoded")
	assert.Equal(t, string(stream), string(encode(t, g.codec, want.Messages...)), "encoded")
}

// TestGolden decodes each file to the messages it tells, and encodes those to the file's bytes.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	require.NoError(t, err)
	require.Equal(t, len(goldens), len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		t.Run(name, func(t *testing.T) {
			require.NotNil(t, goldens[name], "no codec for %s", file)
			stream, messages := readGolden(t, file)
			require.NotEmpty(t, stream, "an empty file")
			require.NotEmpty(t, messages, "an empty file")
			goldens[name].check(t, stream, messages)
		})
	}
}

// readGolden reads a file of bytes in hex, where 61*3 is 61 61 61, and messages behind >, each of one or more parts in
// quotes. # begins a comment.
func readGolden(t *testing.T, file string) (stream []byte, messages [][][]byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if rest, is := strings.CutPrefix(strings.TrimSpace(line), "> "); is {
			messages = append(messages, parts(t, rest))
			continue
		}
		for word := range strings.FieldsSeq(line) {
			digits, times, _ := strings.Cut(word, "*")
			b, err := hex.DecodeString(digits)
			require.NoError(t, err, "%s: %q", file, word)
			stream = append(stream, bytes.Repeat(b, number(t, times))...)
		}
	}
	return stream, messages
}

// parts reads the parts of a message: "a"*3 is "aaa".
func parts(t *testing.T, line string) (all [][]byte) {
	t.Helper()
	for line != "" {
		quoted, err := strconv.QuotedPrefix(line)
		require.NoError(t, err, line)
		part, err := strconv.Unquote(quoted)
		require.NoError(t, err, line)
		times, rest, _ := strings.Cut(line[len(quoted):], " ")
		all = append(all, bytes.Repeat([]byte(part), number(t, strings.TrimPrefix(times, "*"))))
		line = strings.TrimSpace(rest)
	}
	return all
}

// number is how often something stands there: once if nothing says otherwise.
func number(t *testing.T, times string) int {
	t.Helper()
	if times == "" {
		return 1
	}
	n, err := strconv.Atoi(times)
	require.NoError(t, err)
	return n
}
