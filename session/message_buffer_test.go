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

// short is a codec of short messages.
var short = frame.U64{MaxPayload: 100}

// encoded returns the frame of m.
func encoded(t *testing.T, m string) []byte {
	t.Helper()
	p, err := short.Append(nil, []byte(m))
	require.NoError(t, err)
	return p
}

func TestMessageBufferInPlace(t *testing.T) {
	b := session.NewMessageBuffer(short)
	p := encoded(t, "hello")
	b.Add(p)
	m := next(t, b, []byte("hello"))
	assert.Same(t, &p[len(p)-1], &m[len(m)-1])
	assert.Zero(t, b.Len())
	next(t, b, nil)
}

func TestMessageBufferEverySplit(t *testing.T) {
	p := append(encoded(t, "hello"), encoded(t, "world")...)
	for cut := range p {
		b := session.NewMessageBuffer(short)
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
}

// TestMessageBufferAddsPieces adds pieces without Keep.
func TestMessageBufferAddsPieces(t *testing.T) {
	b := session.NewMessageBuffer(short)
	for _, c := range encoded(t, "hello") {
		next(t, b, nil)
		b.Add([]byte{c})
	}
	next(t, b, []byte("hello"))
}

func TestMessageBufferDrop(t *testing.T) {
	b := session.NewMessageBuffer(short)
	b.Add(append(encoded(t, "hello"), 3, 0))
	next(t, b, []byte("hello"))
	next(t, b, nil)
	assert.Equal(t, []byte{3, 0}, b.Bytes())
	b.Drop()
	assert.Zero(t, b.Len())
}

// TestMessageBufferError has an error whose offset counts from the first byte of the peer.
func TestMessageBufferError(t *testing.T) {
	b := session.NewMessageBuffer(short)
	b.Add(append(encoded(t, "hello"), 101, 0, 0, 0, 0, 0, 0, 0))
	next(t, b, []byte("hello"))
	_, _, err := b.Next()
	var wrong *frame.Error
	require.ErrorAs(t, err, &wrong)
	require.ErrorIs(t, err, frame.ErrTooLarge)
	assert.EqualValues(t, 13, wrong.Offset)
}

func TestMessageBufferFinal(t *testing.T) {
	t.Run("a message that the end ends", func(t *testing.T) {
		b := session.NewMessageBuffer(frame.Line{})
		b.Add([]byte("no line feed"))
		next(t, b, nil)
		m, ok, err := b.Final()
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, "no line feed", string(m))
	})
	t.Run("within a message", func(t *testing.T) {
		b := session.NewMessageBuffer(short)
		b.Add([]byte{5, 0})
		next(t, b, nil)
		_, _, err := b.Final()
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// TestMessageBufferSkips drops a message between two others, and says so in its turn.
func TestMessageBufferSkips(t *testing.T) {
	b := session.NewMessageBuffer(frame.Varint{MaxPayload: 3, SkipTooLarge: true})
	for _, p := range []string{"\x03one\x05", "too ", "l\x03two"} {
		b.Add([]byte(p))
		switch p[0] {
		case 3:
			next(t, b, []byte("one"))
			next(t, b, nil)
		case 't':
			next(t, b, nil)
			assert.Zero(t, b.Len())
		default:
			_, ok, err := b.Next()
			assert.False(t, ok)
			var e *frame.Error
			require.ErrorAs(t, err, &e)
			assert.True(t, e.Skipped)
			assert.EqualValues(t, 4, e.Offset)
			next(t, b, []byte("two"))
			next(t, b, nil)
		}
		b.Keep()
	}
}
