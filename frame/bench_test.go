package frame_test

import (
	"bytes"
	"testing"

	"github.com/tandem-io/tandem/frame"
)

var (
	benchFixed       = must(frame.NewFixed(64))
	benchDelimiter   = must(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{[]byte("\r\n")}}))
	benchLengthField = must(frame.NewLengthField(frame.LengthFieldOptions{Offset: 1, Length: 2, Strip: 3}))
)

func BenchmarkU64Decode64(b *testing.B)         { benchDecode(b, frame.U64{}) }
func BenchmarkU64Encode64(b *testing.B)         { benchEncode(b, frame.U64{}) }
func BenchmarkSimpleDecode64(b *testing.B)      { benchDecode(b, frame.Simple{}) }
func BenchmarkSimpleEncode64(b *testing.B)      { benchEncode(b, frame.Simple{}) }
func BenchmarkChecksum32Decode64(b *testing.B)  { benchDecode(b, frame.Checksum32{}) }
func BenchmarkChecksum32Encode64(b *testing.B)  { benchEncode(b, frame.Checksum32{}) }
func BenchmarkLengthFieldDecode64(b *testing.B) { benchDecode(b, benchLengthField) }
func BenchmarkLengthFieldEncode64(b *testing.B) { benchEncode(b, benchLengthField) }
func BenchmarkVarintDecode64(b *testing.B)      { benchDecode(b, frame.Varint{}) }
func BenchmarkVarintEncode64(b *testing.B)      { benchEncode(b, frame.Varint{}) }
func BenchmarkDelimiterDecode64(b *testing.B)   { benchDecode(b, benchDelimiter) }
func BenchmarkDelimiterEncode64(b *testing.B)   { benchEncode(b, benchDelimiter) }
func BenchmarkLineDecode64(b *testing.B)        { benchDecode(b, frame.Line{}) }
func BenchmarkLineEncode64(b *testing.B)        { benchEncode(b, frame.Line{}) }
func BenchmarkNetstringDecode64(b *testing.B)   { benchDecode(b, frame.Netstring{}) }
func BenchmarkNetstringEncode64(b *testing.B)   { benchEncode(b, frame.Netstring{}) }
func BenchmarkLSPDecode64(b *testing.B)         { benchDecode(b, frame.LSP{}) }
func BenchmarkLSPEncode64(b *testing.B)         { benchEncode(b, frame.LSP{}) }
func BenchmarkCOBSDecode64(b *testing.B)        { benchDecode(b, frame.COBS{}) }
func BenchmarkCOBSEncode64(b *testing.B)        { benchEncode(b, frame.COBS{}) }
func BenchmarkFixedDecode64(b *testing.B)       { benchDecode(b, benchFixed) }
func BenchmarkFixedEncode64(b *testing.B)       { benchEncode(b, benchFixed) }

// benchDecode decodes one frame with a message of 64 bytes, through the interface.
func benchDecode(b *testing.B, codec frame.Codec[[]byte]) {
	m := bytes.Repeat([]byte("x"), 64)
	stream := encode(b, codec, m)
	d := codec.NewDecoder()
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		got, n, _, err := d.Decode(stream)
		if len(got) != len(m) || n != len(stream) || err != nil {
			b.Fatal(got, n, err)
		}
	}
}

// benchEncode appends one frame with a message of 64 bytes to a slice with room for it.
func benchEncode(b *testing.B, codec frame.Codec[[]byte]) {
	m := bytes.Repeat([]byte("x"), 64)
	dst := encode(b, codec, m)
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		out, err := codec.Append(dst[:0], m)
		if len(out) != len(dst) || err != nil {
			b.Fatal(out, err)
		}
	}
}
