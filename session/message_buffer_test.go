package session_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// next asserts that b has the message want, or none if want is nil.
func next(t *testing.T, b *session.MessageBuffer[[]byte], want []byte) []byte {
	t.Helper()
	m, ok, err := b.Next()
	require.NoError(t, err)
	require.Equal(t, want != nil, ok)
	require.Equal(t, string(want), string(m))
	return m
}

func TestMessageBuffer(t *testing.T) {
	codec := frame.U64{MaxPayload: 100}
	encode := func(m string) []byte {
		p, err := codec.Append(nil, []byte(m))
		require.NoError(t, err)
		return p
	}

	t.Run("a message in one piece is decoded in place", func(t *testing.T) {
		b := session.NewMessageBuffer[[]byte](codec)
		p := encode("hello")
		b.Add(p)
		m := next(t, b, []byte("hello"))
		assert.Same(t, &p[len(p)-1], &m[len(m)-1])
		assert.Zero(t, b.Len())
		next(t, b, nil)
	})

	t.Run("messages at every split", func(t *testing.T) {
		p := append(encode("hello"), encode("world")...)
		for cut := range p {
			b := session.NewMessageBuffer[[]byte](codec)
			var got []string
			for _, piece := range [][]byte{p[:cut], p[cut:]} {
				lent := append([]byte(nil), piece...)
				b.Add(lent)
				for {
					m, ok, err := b.Next()
					require.NoError(t, err)
					if !ok {
						break
					}
					got = append(got, string(m))
				}
				b.Keep()
				clear(lent)
			}
			require.Equal(t, []string{"hello", "world"}, got, "cut at %d", cut)
		}
	})

	t.Run("pieces that are added without Keep", func(t *testing.T) {
		b := session.NewMessageBuffer[[]byte](codec)
		for _, c := range encode("hello") {
			next(t, b, nil)
			b.Add([]byte{c})
		}
		next(t, b, []byte("hello"))
	})

	t.Run("what was not decoded", func(t *testing.T) {
		b := session.NewMessageBuffer[[]byte](codec)
		p := append(encode("hello"), 3, 0)
		b.Add(p)
		next(t, b, []byte("hello"))
		next(t, b, nil)
		assert.Equal(t, []byte{3, 0}, b.Bytes())
		b.Drop()
		assert.Zero(t, b.Len())
	})

	t.Run("an error counts from the first byte", func(t *testing.T) {
		b := session.NewMessageBuffer[[]byte](codec)
		b.Add(append(encode("hello"), 101, 0, 0, 0, 0, 0, 0, 0))
		next(t, b, []byte("hello"))
		_, _, err := b.Next()
		var wrong *frame.Error
		require.ErrorAs(t, err, &wrong)
		require.ErrorIs(t, err, frame.ErrTooLarge)
		assert.EqualValues(t, 13, wrong.Offset)
	})

	t.Run("the end of the stream", func(t *testing.T) {
		lines := session.NewMessageBuffer[[]byte](frame.Line{})
		lines.Add([]byte("no line feed"))
		next(t, lines, nil)
		m, ok, err := lines.Final()
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, "no line feed", string(m))

		b := session.NewMessageBuffer[[]byte](codec)
		b.Add([]byte{5, 0})
		next(t, b, nil)
		_, _, err = b.Final()
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}
