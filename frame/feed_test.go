package frame_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

// outcome is all that a Decoder makes of what a peer sends.
type outcome = frametest.Outcome[[]byte]

// feed gives stream to a new Decoder of codec, as frametest does.
func feed(t testing.TB, codec frame.Codec[[]byte], stream []byte, cuts []int, patient bool) outcome {
	t.Helper()
	got, err := frametest.Bytes(codec, nil).Decode(stream, cuts, patient)
	require.NoError(t, err)
	return got
}

// same fails the test if two outcomes of the same bytes differ.
func same(t testing.TB, how string, got, want outcome) {
	t.Helper()
	require.NoError(t, frametest.Bytes(nil, nil).Compare(got, want), how)
}

// each is every place where n bytes can be cut.
func each(n int) []int { return frametest.Everywhere(n) }

// whole decodes a stream in one piece.
func whole(t testing.TB, codec frame.Codec[[]byte], stream []byte) outcome {
	t.Helper()
	return feed(t, codec, stream, nil, false)
}

// encode appends the frames of messages to one another.
func encode[M any](t testing.TB, codec frame.Codec[M], messages ...M) (stream []byte) {
	t.Helper()
	for _, m := range messages {
		var err error
		stream, err = codec.Append(stream, m)
		require.NoError(t, err, "Append(%q)", any(m))
	}
	return stream
}

// must returns the codec of a constructor that cannot fail.
func must[M any](codec frame.Codec[M], err error) frame.Codec[M] {
	if err != nil {
		panic(err)
	}
	return codec
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
