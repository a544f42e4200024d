package frame_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestRoundTrip encodes messages and decodes them again, in pieces of any sizes.
func TestRoundTrip(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				want := outcome{messages: s.messages(rt)}
				stream := encode(t, s.codec, want.messages...)
				cuts := rapid.SliceOfN(rapid.IntRange(0, len(stream)), 0, 20).Draw(rt, "cuts")
				slices.Sort(cuts)
				patient := rapid.Bool().Draw(rt, "patient")
				same(quiet{t, rt}, "in pieces", feed(quiet{t, rt}, s.codec, stream, cuts, patient), want)
			})
		})
	}
}

// quiet is a testing.TB for rapid, which tries a failing case many times.
type quiet struct {
	testing.TB
	t *rapid.T
}

func (quiet) Helper()                          {}
func (q quiet) Logf(string, ...any)            {}
func (q quiet) Errorf(format string, a ...any) { q.t.Errorf(format, a...) }
func (q quiet) Fatal(args ...any)              { q.t.Fatal(args...) }
func (q quiet) Fatalf(format string, a ...any) { q.t.Fatalf(format, a...) }
func (q quiet) FailNow()                       { q.t.FailNow() }

// samples are messages of s: empty, short, and one that makes a length field's lower byte overflow.
func samples(s subject) [][]byte {
	return [][]byte{
		s.of(nil), s.of([]byte("a")), s.of([]byte("hello, world")), s.of(nil), s.of([]byte("\r\r")),
		s.of(bytes.Repeat([]byte("0123456789"), 26)), s.of([]byte("end")),
	}
}

// TestEverySplit cuts a stream once at every place, and at all of them, with its end and without its last byte.
func TestEverySplit(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			log := silent{t}
			stream := encode(t, s.codec, samples(s)...)
			want := whole(log, s.codec, stream)
			same(t, "whole", want, outcome{messages: samples(s)})
			for i := range stream {
				same(t, "in two pieces", feed(log, s.codec, stream, []int{i}, false), want)
				same(t, "in two pieces, when needed", feed(log, s.codec, stream, []int{i}, true), want)
			}
			same(t, "byte by byte", feed(log, s.codec, stream, each(len(stream)), false), want)
			same(t, "byte by byte, when needed", feed(log, s.codec, stream, each(len(stream)), true), want)
			for i := range stream {
				part := stream[:i]
				same(t, "a part, byte by byte", feed(log, s.codec, part, each(i), false), whole(log, s.codec, part))
			}
		})
	}
}

// silent is a testing.TB that does not log.
type silent struct{ testing.TB }

func (silent) Logf(string, ...any) {}

// TestNoSecondLook changes bytes that a Decoder has looked at, against the contract, into what would mislead it: the
// header of another frame, or delimiters. It does not notice, so it has not looked again.
func TestNoSecondLook(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			stream := encode(t, s.codec, s.of(bytes.Repeat([]byte("hello, world"), 25)))
			for seen := range stream {
				d := s.codec.NewDecoder()
				_, n, need, err := d.Decode(stream[:seen])
				require.NoError(t, err, "Decode of %d bytes", seen)
				require.Zero(t, n, "Decode of %d bytes", seen)
				require.Positive(t, need, "Decode of %d bytes", seen)
				_, n, need, err = d.Decode(misleading(s, stream, seen))
				require.NoError(t, err, "after %d bytes", seen)
				require.Equal(t, len(stream), n, "after %d bytes", seen)
				require.Zero(t, need, "after %d bytes", seen)
			}
		})
	}
}

// misleading is stream with what a Decoder may not look at again when it has seen so many bytes replaced.
func misleading(s subject, stream []byte, seen int) []byte {
	p := bytes.Clone(stream)
	if s.trap == nil {
		if prefix := max(s.header, 1); seen >= prefix {
			copy(p, bytes.Repeat([]byte{0xff}, prefix))
		}
		return p
	}
	for i := 0; i+len(s.trap) <= seen-s.lookBack; i += len(s.trap) {
		copy(p[i:], s.trap)
	}
	return p
}

// TestMessageIsPartOfInput checks that messages are not copies, and that appending to one leaves the next one alone.
func TestMessageIsPartOfInput(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			first, second := s.of([]byte("first")), s.of([]byte("second"))
			stream := encode(t, s.codec, first, second)
			d := s.codec.NewDecoder()
			m, n, _, err := d.Decode(stream)
			require.NoError(t, err)
			require.NotEmpty(t, m)
			assert.True(t, slices.ContainsFunc(each(n-1), func(i int) bool { return &stream[i] == &m[0] }), "the message is a copy")
			_ = append(m, "\x00\xff"...)
			m, _, _, err = d.Decode(stream[n:])
			assert.NoError(t, err, "the next message")
			assert.Equal(t, string(second), string(m), "the next message")
		})
	}
}

// TestAppendKeepsFront checks that Append leaves alone what is in front, also where it fails.
func TestAppendKeepsFront(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			m := s.of([]byte("hello"))
			front := append(make([]byte, 0, 1000), "front"...)
			out, err := s.codec.Append(front, m)
			want := append([]byte("front"), encode(t, s.codec, m)...)
			assert.NoError(t, err, "Append")
			assert.Equal(t, string(want), string(out), "Append")
			tooLarge := make([]byte, s.codec.MaxSize()+1)
			out, err = s.codec.Append(front, tooLarge)
			assert.Error(t, err, "Append of %d bytes", len(tooLarge))
			assert.Equal(t, "front", string(out), "Append of %d bytes", len(tooLarge))
		})
	}
}

// TestNoAllocation decodes and encodes without allocating.
func TestNoAllocation(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			m := s.of(bytes.Repeat([]byte("x"), 64))
			stream := encode(t, s.codec, m)
			d := s.codec.NewDecoder()
			dst := make([]byte, 0, len(stream))
			// In here an assertion would allocate.
			assert.Zero(t, testing.AllocsPerRun(100, func() {
				if _, n, _, err := d.Decode(stream[:len(stream)-1]); n != 0 || err != nil {
					t.Errorf("n %d, %v", n, err)
				}
				if _, n, _, err := d.Decode(stream); n != len(stream) || err != nil {
					t.Errorf("n %d, %v", n, err)
				}
			}), "allocations of Decode")
			assert.Zero(t, testing.AllocsPerRun(100, func() {
				if out, err := s.codec.Append(dst, m); len(out) != len(stream) || err != nil {
					t.Errorf("%d bytes, %v", len(out), err)
				}
			}), "allocations of Append")
		})
	}
}
