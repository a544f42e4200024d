package frame_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
	if err != nil || len(files) != len(goldens) {
		t.Fatalf("%d files for %d codecs, %v", len(files), len(goldens), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		t.Run(name, func(t *testing.T) {
			codec := goldens[name]
			if codec == nil {
				t.Fatalf("no codec for %s", file)
			}
			stream, messages := golden(t, file)
			if len(stream) == 0 || len(messages) == 0 {
				t.Fatal("an empty file")
			}
			same(t, "decoded", whole(t, codec, stream), outcome{messages: messages})
			if got := encode(t, codec, messages...); !bytes.Equal(got, stream) {
				t.Errorf("encoded: got\n% x\nwant\n% x", got, stream)
			}
		})
	}
}

// golden reads a file of bytes in hex, where 61*3 is 61 61 61, and messages behind > in quotes. # begins a comment.
func golden(t *testing.T, file string) (stream []byte, messages [][]byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if quoted, is := strings.CutPrefix(strings.TrimSpace(line), "> "); is {
			quoted, times, _ := strings.Cut(quoted, "*")
			m, err := strconv.Unquote(strings.TrimSpace(quoted))
			if err != nil {
				t.Fatalf("%s: %s: %v", file, quoted, err)
			}
			messages = append(messages, bytes.Repeat([]byte(m), number(t, times)))
			continue
		}
		for word := range strings.FieldsSeq(line) {
			digits, times, _ := strings.Cut(word, "*")
			b, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatalf("%s: %q: %v", file, word, err)
			}
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
	if err != nil {
		t.Fatal(err)
	}
	return n
}
