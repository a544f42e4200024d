package frame_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

func FuzzNetstring(f *testing.F) {
	f.Add([]byte("5:hello,0:,12:hello world!,"), []byte{1, 5, 1}, int16(0))
	f.Add([]byte("6:hello!,1:a,"), []byte{2}, int16(4))
	f.Add([]byte("9999999999999999999:,"), []byte{}, int16(5))
	f.Add([]byte("00:,"), []byte{1, 1}, int16(-1))
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16) {
		codec := frame.Netstring{MaxPayload: int(most), SkipTooLarge: most%2 == 0}
		fuzz(t, codec, codec.MaxSize()-21, data, cuts)
	})
}

func FuzzLSP(f *testing.F) {
	f.Add([]byte("Content-Length: 2\r\n\r\n{}Content-Length: 0\r\n\r\n"), []byte{3, 20, 1}, int16(0))
	f.Add([]byte("content-length:3\r\nContent-Type: x\r\n\r\n{ }Content-Length: 1\r\n\r\n1"), []byte{17, 1, 1}, int16(2))
	f.Add([]byte("Content-Length: 9223372036854775807\r\n\r\n"), []byte{}, int16(1))
	f.Add([]byte("\r\n\r\n"), []byte{1, 1, 1}, int16(-1))
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16) {
		codec := frame.LSP{MaxContent: int(most), SkipTooLarge: most%2 == 0}
		fuzz(t, codec, codec.MaxSize()-4100, data, cuts)
	})
}

func FuzzCOBS(f *testing.F) {
	f.Add([]byte("\x03ab\x00\x00\x01\x00\x02a\x02b\x00"), []byte{1, 2, 1}, int16(0))
	f.Add([]byte("\x04abc\x00\x01\x01\x01\x01\x00"), []byte{4}, int16(3))
	f.Add([]byte("\x05abcd\x00"), []byte{}, int16(3))
	f.Add([]byte("\xff"+a(254)+"\x01\x00\x04ab\x00"), []byte{255, 1}, int16(254))
	f.Fuzz(func(t *testing.T, data, cuts []byte, most int16) {
		codec := frame.COBS{MaxMessage: int(most)}
		limit := max(0, int(most))
		if most == 0 {
			limit = 65536
		}
		fuzz(t, codec, limit, data, cuts)
	})
}

// fuzzMessages is fuzz for messages with headers. None may have a body of more than most bytes.
func fuzzMessages(t *testing.T, codec frame.Codec[frame.Message], most int, data, cuts []byte) {
	s := messageSubject(codec, nil)
	require.NoError(t, s.Fuzz(data, cuts))
	whole, err := s.Decode(data, nil, false)
	require.NoError(t, err)
	for _, m := range whole.Messages {
		require.LessOrEqual(t, len(m.Body), most, "a body")
	}
}

func FuzzVarintField(f *testing.F) {
	f.Add([]byte("\xc0\x000\x05hello0\x85\x00hello"), []byte{1, 2, 1}, uint8(1), uint8(4), true, uint16(0))
	f.Add([]byte("ab\x05hello\x00"), []byte{2}, uint8(2), uint8(0), false, uint16(4))
	f.Add([]byte("\xff\xff\xff\xff\x7f"), []byte{}, uint8(0), uint8(4), false, uint16(9))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), []byte{9}, uint8(0), uint8(10), false, uint16(8))
	f.Fuzz(func(t *testing.T, data, cuts []byte, offset, length uint8, minimal bool, most uint16) {
		codec, err := frame.NewVarintField(frame.VarintFieldOptions{
			Offset: int(offset), Length: int(length), Minimal: minimal, MaxPayload: int(most), SkipTooLarge: most%2 == 0,
		})
		if err != nil {
			return
		}
		limit := int(most)
		if most == 0 {
			limit = 16 << 20
		}
		fuzzMessages(t, codec, limit, data, cuts)
	})
}

func FuzzTextHeader(f *testing.F) {
	f.Add([]byte("PING\r\nPUB a 5\r\nhello\r\nPUB a b 0\r\n\r\n"), []byte{1, 2, 1}, false, uint8(99), uint8(0))
	f.Add([]byte("PUB a 5\r\nhello\r\nPUB a 1\r\nh\r\n"), []byte{9}, false, uint8(20), uint8(4))
	f.Add([]byte("SEND\na:b\n\nhello\x00SEND\r\ncontent-length:1\r\n\r\n\x00\x00"), []byte{8, 1, 1}, true, uint8(99), uint8(5))
	f.Add([]byte("SEND\n\nhello!\x00"), []byte{}, true, uint8(5), uint8(5))
	f.Fuzz(func(t *testing.T, data, cuts []byte, ofSTOMP bool, maxHeader, maxBody uint8) {
		o := natsOptions
		if ofSTOMP {
			o = stompOptions
		}
		o.MaxHeader, o.MaxBody, o.SkipTooLarge = int(maxHeader), int(maxBody), maxBody%2 == 0
		limit := int(maxBody)
		if maxBody == 0 {
			limit = 16 << 20
		}
		fuzzMessages(t, must(frame.NewTextHeader(o)), limit, data, cuts)
	})
}

func FuzzPktLine(f *testing.F) {
	f.Add([]byte("0006a\n0000000100020004"), []byte{1, 4, 1})
	f.Add([]byte("0003"), []byte{2})
	f.Add([]byte("fff1"), []byte{})
	f.Add([]byte("000Ahello\n00g0"), []byte{4, 6})
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		s := frametest.Subject[frame.Pkt]{Codec: frame.PktLine{}, Clone: clonePkt, InPlace: func(m frame.Pkt) []byte { return m.Data }}
		require.NoError(t, s.Fuzz(data, cuts))
	})
}
