package frame_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// outcome is all that a Decoder makes of what a peer sends.
type outcome struct {
	messages [][]byte
	err      *frame.Error // with the offset in the whole stream
}

func (o outcome) String() string {
	if o.err == nil {
		return fmt.Sprintf("%q", o.messages)
	}
	return fmt.Sprintf("%q, then %v (%v)", o.messages, o.err, o.err.Err)
}

// feed gives stream to a new Decoder of codec, as a session does, in pieces that end at cuts and at the end. A patient
// session calls when as many bytes have come as the Decoder needs, another one for every piece. It fails the test where
// the Decoder breaks the contract of frame.Decoder.
func feed(t testing.TB, codec frame.Codec[[]byte], stream []byte, cuts []int, patient bool) outcome {
	t.Helper()
	f := feeder{t: t, codec: codec, decoder: codec.NewDecoder(), stream: stream}
	for _, arrived := range append(slices.Clone(cuts), len(stream)) {
		if patient && arrived < f.promised {
			continue
		}
		for f.step(arrived) {
		}
		if f.out.err != nil {
			return f.out
		}
	}
	f.end()
	return f.out
}

type feeder struct {
	t        testing.TB
	codec    frame.Codec[[]byte]
	decoder  frame.Decoder[[]byte]
	stream   []byte
	consumed int
	promised int // so much must have come before there is a message or an error
	out      outcome
}

// step calls Decode once, and reports whether to call it again before more bytes have come. It is called for each byte of
// each split, and compares by hand because assertions would take ten times as long.
func (f *feeder) step(arrived int) bool {
	f.t.Helper()
	p := f.stream[f.consumed:arrived:arrived]
	var before []byte
	if len(f.stream) <= 4096 { // for more it takes too long
		before = bytes.Clone(p)
	}
	m, n, need, err := f.decoder.Decode(p)
	f.t.Logf("Decode(%d bytes) = %d bytes, n %d, need %d, %v", len(p), len(m), n, need, err)
	if before != nil && !bytes.Equal(p, before) {
		f.t.Fatal("Decode changed p")
	}
	if need == 0 && arrived < f.promised {
		f.t.Fatalf("after %d bytes there was to be nothing before %d", arrived, f.promised)
	}
	switch {
	case err != nil:
		f.fail(err, len(p))
		return false
	case n < 0 || n > len(p):
		f.t.Fatalf("consumed %d of %d bytes", n, len(p))
	case need < 0:
		f.t.Fatalf("needs %d bytes", need)
	case need > 0:
		f.incomplete(m, len(p)-n+need)
		f.consumed += n
		f.promised = arrived + need
		return false
	case n == 0:
		f.t.Fatal("a message of nothing")
	case m == nil:
		f.t.Fatal("an empty message is nil")
	case n > f.codec.MaxSize():
		f.t.Fatalf("one message has %d bytes, more than %d", n, f.codec.MaxSize())
	}
	f.consumed += n
	f.out.messages = append(f.out.messages, bytes.Clone(m))
	return true
}

// incomplete checks the outcome of a Decode that needs more, until so many bytes are held.
func (f *feeder) incomplete(m []byte, held int) {
	f.t.Helper()
	if m != nil {
		f.t.Fatal("a message, and a need")
	}
	if held > f.codec.MaxSize() {
		f.t.Fatalf("%d bytes are kept or needed, more than %d", held, f.codec.MaxSize())
	}
}

// end calls End behind the last byte.
func (f *feeder) end() {
	f.t.Helper()
	p := f.stream[f.consumed:]
	m, ok, err := f.decoder.End(p)
	f.t.Logf("End(%d bytes) = %q, %v, %v", len(p), m, ok, err)
	switch {
	case err != nil:
		require.ErrorIs(f.t, err, io.ErrUnexpectedEOF, "End")
		require.False(f.t, ok, "End: a message, and an error")
		f.fail(err, len(p))
	case ok:
		f.out.messages = append(f.out.messages, bytes.Clone(m))
	default:
		require.Empty(f.t, p, "End lost bytes")
	}
}

func (f *feeder) fail(err error, length int) {
	f.t.Helper()
	var e *frame.Error
	require.ErrorAs(f.t, err, &e)
	require.Contains(f.t, []error{frame.ErrTooLarge, frame.ErrMalformed, io.ErrUnexpectedEOF}, e.Err)
	absolute := *e
	absolute.Offset += int64(f.consumed)
	require.NotEmpty(f.t, e.Codec)
	require.NotEmpty(f.t, e.What)
	require.GreaterOrEqual(f.t, absolute.Offset, int64(0))
	require.LessOrEqual(f.t, e.Offset, int64(length))
	f.out.err = &absolute
}

// same fails the test if two outcomes of the same bytes differ.
func same(t testing.TB, how string, got, want outcome) {
	t.Helper()
	require.True(t, slices.EqualFunc(got.messages, want.messages, bytes.Equal), "%s: got %v\nwant %v", how, got, want)
	require.Equal(t, want.err, got.err, how)
}

// each is every place where n bytes can be cut.
func each(n int) (cuts []int) {
	for i := range n + 1 {
		cuts = append(cuts, i)
	}
	return cuts
}

// whole decodes a stream in one piece.
func whole(t testing.TB, codec frame.Codec[[]byte], stream []byte) outcome {
	t.Helper()
	return feed(t, codec, stream, nil, false)
}

// encode appends the frames of messages to one another.
func encode(t testing.TB, codec frame.Codec[[]byte], messages ...[]byte) (stream []byte) {
	t.Helper()
	for _, m := range messages {
		var err error
		stream, err = codec.Append(stream, m)
		require.NoError(t, err, "Append(%q)", m)
	}
	return stream
}

// must returns the codec of a constructor that cannot fail.
func must(codec frame.Codec[[]byte], err error) frame.Codec[[]byte] {
	if err != nil {
		panic(err)
	}
	return codec
}
