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
)

// goldens are the codecs of the files in testdata, each written by hand from the layout of its format.
var goldens = map[string]frame.Codec[[]byte]{
	"u64":        frame.U64{},
	"simple":     frame.Simple{},
	"checksum32": frame.Checksum32{},
	"varint":     frame.Varint{},
	"fixed":      must(frame.NewFixed(4)),
	"line":       frame.Line{},
	"line_crlf":  frame.Line{CRLF: true},
	"delimiter":  must(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{{0}, []byte("--")}})),
	"lengthfield": must(frame.NewLengthField(frame.LengthFieldOptions{
		Offset: 1, Length: 2, Adjustment: 1, Strip: 3, Head: []byte{0xca, 0, 0},
	})),
	"lengthfield_little": must(frame.NewLengthField(frame.LengthFieldOptions{
		LittleEndian: true, Length: 3, LengthIncludesItself: true, Strip: 3,
	})),
}

// TestGolden decodes each file to the messages it tells, and encodes those to the file's bytes.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.hex")
	require.NoError(t, err)
	require.Equal(t, len(goldens), len(files))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		t.Run(name, func(t *testing.T) {
			codec := goldens[name]
			require.NotNil(t, codec, "no codec for %s", file)
			stream, messages := golden(t, file)
			require.NotEmpty(t, stream, "an empty file")
			require.NotEmpty(t, messages, "an empty file")
			same(t, "decoded", whole(t, codec, stream), outcome{Messages: messages})
			got := encode(t, codec, messages...)
			assert.Equal(t, string(stream), string(got), "encoded")
		})
	}
}

// golden reads a file of bytes in hex, where 61*3 is 61 61 61, and messages behind > in quotes. # begins a comment.
func golden(t *testing.T, file string) (stream []byte, messages [][]byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if quoted, is := strings.CutPrefix(strings.TrimSpace(line), "> "); is {
			quoted, times, _ := strings.Cut(quoted, "*")
			m, err := strconv.Unquote(strings.TrimSpace(quoted))
			require.NoError(t, err, "%s: %s", file, quoted)
			messages = append(messages, bytes.Repeat([]byte(m), number(t, times)))
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
