package frame_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// decoded is what one call of Decode returns for p.
type decoded struct {
	p       string
	m       string
	n, need int

	// Of an error:
	err    error
	offset int64
	what   string // a part of it
}

// decode gives each p to a Decoder of its own.
func decode(t *testing.T, codec frame.Codec[[]byte], table []decoded) {
	t.Helper()
	decodeAs(t, codec, func(m []byte) string { return string(m) }, table)
}

// decodeAs is decode for messages that are written as strings.
func decodeAs[M any](t *testing.T, codec frame.Codec[M], written func(M) string, table []decoded) {
	t.Helper()
	for _, want := range table {
		m, n, need, err := codec.NewDecoder().Decode([]byte(want.p))
		assert.Equal(t, want.m, written(m), "%q", want.p)
		assert.Equal(t, want.n, n, "%q", want.p)
		assert.Equal(t, want.need, need, "%q", want.p)
		isError(t, want.p, err, want.err, want.offset, want.what)
	}
}

// encoded is what Append returns for m.
type encoded struct {
	m      string
	out    string
	err    error
	offset int64
	what   string
}

func appendEach(t *testing.T, codec frame.Codec[[]byte], table []encoded) {
	t.Helper()
	appendAs(t, codec, func(m string) []byte { return []byte(m) }, table)
}

// appendAs is appendEach for messages that are written as strings.
func appendAs[M any](t *testing.T, codec frame.Codec[M], read func(string) M, table []encoded) {
	t.Helper()
	for _, want := range table {
		out, err := codec.Append(nil, read(want.m))
		assert.Equal(t, want.out, string(out), "Append(%q)", want.m)
		isError(t, want.m, err, want.err, want.offset, want.what)
	}
}

func isError(t *testing.T, of string, err, kind error, offset int64, what string) {
	t.Helper()
	if kind == nil {
		assert.NoError(t, err, "%q", of)
		return
	}
	var e *frame.Error
	if !assert.ErrorAs(t, err, &e, "%q", of) {
		return
	}
	assert.ErrorIs(t, err, kind, "%q", of)
	assert.Equal(t, offset, e.Offset, "%q: got %v", of, err)
	assert.Contains(t, e.What, what, "%q: got %v", of, err)
}

// constructed checks what a constructor returned for options: a codec, or an error that has want in it.
func constructed[M any](t *testing.T, options any, codec frame.Codec[M], err error, want string) {
	t.Helper()
	if want == "" {
		assert.NoError(t, err, "%+v", options)
		assert.NotNil(t, codec, "%+v", options)
		return
	}
	assert.ErrorContains(t, err, want, "%+v", options)
	assert.Nil(t, codec, "%+v", options)
}

// sizes checks MaxSize.
func sizes(t *testing.T, table map[frame.Codec[[]byte]]int) {
	t.Helper()
	for codec, want := range table {
		assert.Equal(t, want, codec.MaxSize(), "%T%+v: MaxSize", codec, codec)
	}
}

// TestEndWithinFrame checks the error of a peer that finishes too early.
func TestEndWithinFrame(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) {
			d := s.codec.NewDecoder()
			m, ok, err := d.End(nil)
			assert.NoError(t, err, "between messages")
			assert.Nil(t, m, "between messages")
			assert.False(t, ok, "between messages")
			p := encode(t, s.codec, s.of([]byte("abc")))
			p = p[:len(p)-1]
			_, _, need, err := d.Decode(p)
			require.NoError(t, err)
			require.NotZero(t, need)
			m, ok, err = d.End(p)
			if strings.HasPrefix(s.name, "Line") {
				assert.NoError(t, err, "the last line")
				assert.Equal(t, "abc", string(m), "the last line")
				assert.True(t, ok, "the last line")
				return
			}
			if len(p) > 0 { // nothing is left of one fixed byte
				isError(t, string(p), err, io.ErrUnexpectedEOF, int64(len(p)), "finished after")
			}
			assert.Nil(t, m, "a message")
			assert.False(t, ok, "a message")
		})
	}
}
