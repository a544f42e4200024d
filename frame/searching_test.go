package frame_test

import (
	"bufio"
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/frame"
)

func TestLine(t *testing.T) {
	decode(t, frame.Line{MaxLine: 3}, []decoded{
		{p: "", need: 1},
		{p: "\n", n: 1},
		{p: "\r\n", n: 2},
		{p: "\r", need: 1},
		{p: "\r\r\n", m: "\r", n: 3},
		{p: "abc", need: 1},
		{p: "abc\r", need: 1},
		{p: "abc\nd", m: "abc", n: 4},
		{p: "abc\r\nd", m: "abc", n: 5},
		{p: "a\rb\n", m: "a\rb", n: 4},
		{p: "ab\r\r\n", m: "ab\r", n: 5},
		{p: "abcd", err: frame.ErrTooLarge, offset: 3, what: "line of more bytes than the limit of 3"},
		{p: "abcd\n", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
		{p: "abcd\r\n", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
		{p: "abc\rd", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
		{p: "abc\r\r", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
		{p: "abc\r\r\n", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
	})
	decode(t, frame.Line{MaxLine: -1}, []decoded{
		{p: "\n", n: 1},
		{p: "\r\n", n: 2},
		{p: "a", err: frame.ErrTooLarge, what: "limit of 0"},
	})
	decode(t, frame.Line{}, []decoded{
		{p: a(65536), need: 1},
		{p: a(65536) + "\r\n", m: a(65536), n: 65538},
		{p: a(65537), err: frame.ErrTooLarge, offset: 65536, what: "limit of 65536"},
	})
	decode(t, frame.Line{MaxLine: math.MaxInt}, []decoded{{p: "a", need: 1}, {p: "a\n", m: "a", n: 2}})
	appendEach(t, frame.Line{MaxLine: 3}, []encoded{
		{m: "", out: "\n"},
		{m: "abc", out: "abc\n"},
		{m: "ab\r", out: "ab\r\r\n"},
		{m: "a\nb", err: frame.ErrMalformed, offset: 1, what: `\n in it`},
		{m: "abcd", err: frame.ErrTooLarge, offset: 3, what: "of 4 bytes exceeds the limit of 3"},
	})
	appendEach(t, frame.Line{CRLF: true}, []encoded{
		{m: "", out: "\r\n"},
		{m: "a", out: "a\r\n"},
		{m: "\r", out: "\r\r\n"},
	})
}

// TestLineIsScanLines compares lines with those of bufio.Scanner, the last one included.
func TestLineIsScanLines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("a\r\n")), 0, 40, -1).Draw(rt, "text")
		var want outcome
		scanner := bufio.NewScanner(strings.NewReader(text))
		for scanner.Scan() {
			want.Messages = append(want.Messages, bytes.Clone(scanner.Bytes()))
		}
		tb := quiet{t, rt}
		same(tb, "whole", whole(tb, frame.Line{}, []byte(text)), want)
		same(tb, "byte by byte", feed(tb, frame.Line{}, []byte(text), each(len(text)), false), want)
	})
}

func TestDelimiter(t *testing.T) {
	lines := must(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{{'\n'}, []byte("\r\n")}, MaxMessage: 3}))
	decode(t, lines, []decoded{
		{p: "", need: 1},
		{p: "\n", n: 1},
		{p: "\r\n", n: 2},
		{p: "abc", need: 1},
		{p: "abc\r", need: 1},
		{p: "abcd", need: 1}, // what has come does not exclude that the d is in a delimiter
		{p: "abc\r\nd", m: "abc", n: 5},
		{p: "abc\nd", m: "abc", n: 4},
		{p: "a\rb\n", m: "a\rb", n: 4},
		{p: "abcd\n", err: frame.ErrTooLarge, offset: 3, what: "message of more bytes than the limit of 3"},
		{p: "abcde", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
	})
	appendEach(t, lines, []encoded{
		{m: "", out: "\n"},
		{m: "abc", out: "abc\n"},
		{m: "ab\r", out: "ab\r\r\n"},
		{m: "a\nb", err: frame.ErrMalformed, offset: 1, what: "a delimiter in it"},
		{m: "a\r\n", err: frame.ErrMalformed, offset: 1, what: "a delimiter in it"},
		{m: "abcd", err: frame.ErrTooLarge, offset: 3, what: "of 4 bytes exceeds the limit of 3"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{lines: 5})
}

func TestDelimiterKept(t *testing.T) {
	kept := must(frame.NewDelimiter(frame.DelimiterOptions{
		Delimiters: [][]byte{[]byte("--"), {';'}}, Keep: true, MaxMessage: 3,
	}))
	decode(t, kept, []decoded{
		{p: "---", m: "--", n: 2},
		{p: "abc--;", m: "abc--", n: 5},
		{p: ";", m: ";", n: 1},
		{p: "abcd;", err: frame.ErrTooLarge, offset: 3, what: "limit of 3"},
	})
	appendEach(t, kept, []encoded{
		{m: "abc--", out: "abc--"},
		{m: ";", out: ";"},
		{m: "abc", err: frame.ErrMalformed, offset: 3, what: "does not end with a delimiter"},
		{m: "", err: frame.ErrMalformed, what: "does not end with a delimiter"},
		{m: ";--", err: frame.ErrMalformed, what: "a delimiter in it"},
		{m: "a--;", err: frame.ErrMalformed, offset: 1, what: "a delimiter in it"},
		{m: "abcd;", err: frame.ErrTooLarge, offset: 3, what: "of 4 bytes exceeds the limit of 3"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{kept: 5})
}

func TestDelimiterWithinItself(t *testing.T) {
	overlapping := must(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{[]byte("aba")}}))
	decode(t, overlapping, []decoded{
		{p: "", need: 3},
		{p: "b", need: 3},
		{p: "a", need: 2},
		{p: "ab", need: 1},
		{p: "aab", need: 1},
		{p: "abb", need: 3},
		{p: "aa", need: 2},
		{p: a(65536), need: 2},
		{p: a(65536) + "c", need: 2}, // then it is too large
		{p: a(65536) + "cc", need: 1},
		{p: a(65536) + "ccc", err: frame.ErrTooLarge, offset: 65536, what: "limit of 65536"},
		{p: "abababa", m: "", n: 3},
		{p: "aaba", m: "a", n: 4},
		{p: "abbaba", m: "abb", n: 6},
	})
	appendEach(t, overlapping, []encoded{
		{m: "xab", err: frame.ErrMalformed, offset: 3, what: "makes another delimiter"},
	})
	sizes(t, map[frame.Codec[[]byte]]int{overlapping: 65539})
}

// TestDelimiterIsModel compares a Decoder with a search that looks for every delimiter behind every byte.
func TestDelimiterIsModel(t *testing.T) {
	few := rapid.SampledFrom([]byte("ab;"))
	rapid.Check(t, func(rt *rapid.T) {
		o := frame.DelimiterOptions{
			Delimiters: rapid.SliceOfN(rapid.SliceOfN(few, 1, 4), 1, 4).Draw(rt, "delimiters"),
			MaxMessage: rapid.IntRange(1, 12).Draw(rt, "MaxMessage"),
			Keep:       rapid.Bool().Draw(rt, "Keep"),
		}
		codec, err := frame.NewDelimiter(o)
		if err != nil {
			rt.Skip()
		}
		stream := rapid.SliceOfN(few, 0, 60).Draw(rt, "stream")
		messages, tooLarge := model(o, stream)
		tb := quiet{t, rt}
		got := feed(tb, codec, stream, each(len(stream)), false)
		same(tb, "messages", outcome{Messages: got.Messages}, outcome{Messages: messages})
		if tooLarge {
			require.NotNil(rt, got.Err)
			require.Equal(rt, frame.ErrTooLarge, got.Err.Err)
		}
	})
}

// model returns the messages in stream, and whether there is one above the limit.
func model(o frame.DelimiterOptions, stream []byte) (ms [][]byte, tooLarge bool) {
	begin := 0
	for i := range stream {
		size := 0
		for _, d := range o.Delimiters {
			if bytes.HasSuffix(stream[begin:i+1], d) {
				size = max(size, len(d))
			}
		}
		if size == 0 {
			continue
		}
		m := stream[begin : i+1-size]
		if len(m) > o.MaxMessage {
			return ms, true
		}
		if o.Keep {
			m = stream[begin : i+1]
		}
		ms = append(ms, m)
		begin = i + 1
	}
	return ms, false
}

func TestDelimiterOptions(t *testing.T) {
	for _, c := range []struct {
		o    frame.DelimiterOptions
		want string // in the error; empty: there is none
	}{
		{frame.DelimiterOptions{}, "Delimiters is empty"},
		{frame.DelimiterOptions{Delimiters: [][]byte{{'a'}, {}}}, "Delimiters[1] is empty"},
		{frame.DelimiterOptions{Delimiters: [][]byte{{}, {'a'}}}, "Delimiters[0] is empty"},
		{frame.DelimiterOptions{Delimiters: [][]byte{[]byte("abc"), []byte("ab")}}, `Delimiters[0], "abc", is never found`},
		{frame.DelimiterOptions{Delimiters: [][]byte{[]byte("b"), []byte("abc")}}, `Delimiters[1], "abc", is never found`},
		{frame.DelimiterOptions{Delimiters: [][]byte{[]byte("bc"), []byte("abc")}}, ""},
		{frame.DelimiterOptions{Delimiters: [][]byte{[]byte("ab"), []byte("ab")}}, ""},
		{frame.DelimiterOptions{Delimiters: [][]byte{{'a'}}, MaxMessage: -1}, "MaxMessage is -1"},
		{frame.DelimiterOptions{Delimiters: [][]byte{{'a'}}, MaxMessage: math.MaxInt}, ""},
	} {
		codec, err := frame.NewDelimiter(c.o)
		constructed(t, c.o, codec, err, c.want)
	}
}

// TestOptionsAreCopied changes options after the Codec has been made.
func TestOptionsAreCopied(t *testing.T) {
	d, head := []byte(";"), []byte{7, 0}
	delimiter := must(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{d}}))
	field := must(frame.NewLengthField(frame.LengthFieldOptions{Offset: 1, Length: 1, Strip: 2, Head: head}))
	d[0], head[0] = 'x', 9
	appendEach(t, delimiter, []encoded{{m: "x", out: "x;"}})
	appendEach(t, field, []encoded{{m: "x", out: "\x07\x01x"}, {m: "xy", out: "\x07\x02xy"}})
}
