package frame_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

// fuzz decodes what a peer may send, in one piece and cut where cuts says, and encodes it again. No message may have
// more than most bytes. Of more data than a few kilobytes, which only take longer, it uses the beginning.
func fuzz(t *testing.T, codec frame.Codec[[]byte], most int, data, cuts []byte) {
	data = data[:min(len(data), 4096)]
	require.NoError(t, frametest.Bytes(codec, nil).Fuzz(data, cuts))
	for _, m := range whole(t, codec, data).Messages {
		require.LessOrEqual(t, len(m), most, "a message")
	}
	fuzzAppend(t, codec, data)
}

// fuzzAppend encodes any message, which works and gives it back, or is an error that changes nothing.
func fuzzAppend(t *testing.T, codec frame.Codec[[]byte], m []byte) {
	out, err := codec.Append([]byte("front"), m)
	if err == nil {
		require.LessOrEqual(t, len(out), len("front")+codec.MaxSize(), "Append(%q)", m)
		same(t, "encoded", whole(t, codec, bytes.TrimPrefix(out, []byte("front"))), outcome{Messages: [][]byte{m}})
		return
	}
	var e *frame.Error
	require.ErrorAs(t, err, &e, "Append")
	require.GreaterOrEqual(t, e.Offset, int64(0), "Append")
	require.LessOrEqual(t, e.Offset, int64(len(m)), "Append")
	require.Equal(t, "front", string(out), "Append")
}

func FuzzU64(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00\x00\x00\x00\x00hello\x00\x00\x00\x00\x00\x00\x00\x00"), []byte{3, 5, 1}, int16(0))
	f.Add([]byte("\x06\x00\x00\x00\x00\x00\x00\x00hello!"), []byte{}, int16(5))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), []byte{7}, int16(-1))
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16) {
		codec := frame.U64{MaxPayload: int(most), SkipTooLarge: most%2 == 0}
		fuzz(t, codec, codec.MaxSize()-8, data, cuts)
	})
}

func FuzzSimple(f *testing.F) {
	f.Add([]byte("\x01\x00\x05hello\x17\x01\x00\x00\x17"), []byte{1, 1, 9})
	f.Add([]byte("\x01\x00\x05hello\x18"), []byte{})
	f.Add([]byte("\x02\x00\x05hello\x17"), []byte{0, 2})
	f.Add([]byte("\x01\xff\xffhello\x17"), []byte{4})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		fuzz(t, frame.Simple{}, 65535, data, cuts)
	})
}

func FuzzChecksum32(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05hello\x00\x00\x02\x14\x00\x00\x00\x00\x00\x00\x00\x00"), []byte{3, 5, 1}, int16(0))
	f.Add([]byte("\x00\x00\x00\x09hello\xff\xff\xff\xff\x00\x00\x06\x10"), []byte{}, int16(10))
	f.Add([]byte("\x00\x00\x00\x02hi\x00\x00\x02\x14"), []byte{9}, int16(2))
	f.Add([]byte("\xff\xff\xff\xff"), []byte{1}, int16(-1))
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16) {
		codec := frame.Checksum32{MaxPayload: int(most), SkipTooLarge: most%2 == 0}
		fuzz(t, codec, codec.MaxSize()-8, data, cuts)
	})
}

func FuzzVarint(f *testing.F) {
	f.Add([]byte("\x05hello\x00\x85\x00hello"), []byte{3, 5, 1}, int16(0))
	f.Add(append([]byte("\x80\x01"), make([]byte, 128)...), []byte{1, 1}, int16(127))
	f.Add([]byte("\x83\x80\x80\x80\x80\x80\x80\x80\x80\x00abc"), []byte{9, 1}, int16(3))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), []byte{}, int16(-1))
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16) {
		codec := frame.Varint{MaxPayload: int(most), SkipTooLarge: most%2 == 0}
		fuzz(t, codec, codec.MaxSize()-10, data, cuts)
	})
}

func FuzzFixed(f *testing.F) {
	f.Add([]byte("hello, world"), []byte{3, 5, 1}, uint8(4))
	f.Add([]byte("hello, world"), []byte{}, uint8(5))
	f.Add([]byte(""), []byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, data, cuts []byte, size uint8) {
		codec, err := frame.NewFixed(int(size))
		require.Equal(t, size == 0, err != nil, "NewFixed(%d): %v", size, err)
		if err == nil {
			fuzz(t, codec, int(size), data, cuts)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("a\r\nbc\n\n\r\n\r\r\nlast"), []byte{2, 1, 1}, int16(0), false)
	f.Add([]byte("\r"), []byte{}, int16(-1), true)
	f.Add([]byte("five5\r\nsix666"), []byte{5, 1}, int16(5), true)
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16, crlf bool) {
		codec := frame.Line{MaxLine: int(most), CRLF: crlf}
		fuzz(t, codec, codec.MaxSize()-2, data, cuts)
	})
}

func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("a\r\nbc\n\n\r\n\r\r\n"), []byte{2, 1, 1}, []byte("\n"), []byte("\r\n"), uint16(0), false)
	f.Add([]byte("xaaabab"), []byte{4, 1}, []byte("aab"), []byte("ba"), uint16(5), true)
	f.Add([]byte("five5--six666--"), []byte{}, []byte("--"), []byte{}, uint16(5), false)
	f.Add([]byte("x"), []byte{}, []byte("ab"), []byte("abc"), uint16(5), false)
	f.Fuzz(func(t *testing.T, data, cuts, one, other []byte, most uint16, keep bool) {
		o := frame.DelimiterOptions{Delimiters: [][]byte{one}, MaxMessage: int(most), Keep: keep}
		if len(other) > 0 {
			o.Delimiters = append(o.Delimiters, other)
		}
		codec, err := frame.NewDelimiter(o)
		if err != nil {
			return
		}
		limit := int(most)
		if limit == 0 {
			limit = 65536
		}
		if keep {
			limit = codec.MaxSize()
		}
		fuzz(t, codec, limit, data, cuts)
	})
}

func FuzzLengthField(f *testing.F) {
	const little, itself, late, skip = 1, 2, 4, 8
	add := func(data, cuts string, set, offset, length uint8, adjust int32, strip uint8, most uint16) {
		f.Add([]byte(data), []byte(cuts), set, offset, length, adjust, strip, most)
	}
	add("\x00\x0cHELLO, WORLD", "\x01\x03", 0, 0, 2, 0, 0, 0)
	add("\x00\x0eHELLO, WORLD", "\x01\x03", itself, 0, 2, 0, 2, 14)
	add("\xca\x00\x10\xfeHELLO, WORLD", "", 0, 1, 2, -3, 3, 20)
	add("\x0c\x00\x00\xca\xfeHELLO, WORLD", "\x09", little, 0, 3, 2, 0, 99)
	add("\x00\x20too long, and not all of it", "\x09\x09", late, 0, 2, 0, 2, 8)
	add("\x00\x05a\x00\x03ok!", "\x03\x01", late, 0, 2, -4, 2, 3)
	add("\x20too long, and not all of it", "\x09\x09", skip, 0, 1, -20, 1, 8)
	add("\xff\xff\xff\xff\xff\xff\xff\xff", "", late, 0, 8, 1, 8, 0)
	f.Fuzz(func(t *testing.T, data, cuts []byte, set, offset, length uint8, adjust int32, strip uint8, most uint16) {
		codec, err := frame.NewLengthField(frame.LengthFieldOptions{
			LittleEndian:         set&little != 0,
			LengthIncludesItself: set&itself != 0,
			FailLate:             set&late != 0,
			SkipTooLarge:         set&skip != 0,
			Offset:               int(offset),
			Length:               int(length),
			Adjustment:           int(adjust),
			Strip:                int(strip),
			MaxFrame:             int(most),
		})
		if err != nil {
			return
		}
		fuzz(t, codec, codec.MaxSize()-int(strip), data, cuts)
	})
}
