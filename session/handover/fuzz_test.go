package handover

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// encode is the whole message of an item.
func encode(number uint64, item Item, files int) []byte {
	h, fields := item.fields()
	p := appendFields(nil, fields...)
	h.number, h.files, h.length = number, files, len(p)
	return append(h.encode(), p...)
}

func samples() map[string][]byte {
	greeting := hello{lowest: 1, highest: 1, items: window, bytes: defaultMessage}
	h := header{kind: kindHello, length: helloSize}
	refused := (&RefusedError{24, "no room"}).encode()
	return map[string][]byte{
		"hello":    append(h.encode(), greeting.encode()...),
		"listener": encode(1, &Listener{Name: "web", Network: "tcp", Unlink: true}, 2),
		"conn":     encode(2, newConn("c", []byte("state"), []byte("unread"), []byte("unsent"), flagShut), 1),
		"state":    encode(3, &State{Name: "config", Data: []byte("data")}, 0),
		"taken":    header{kind: kindTaken, number: 1}.encode(),
		"refused":  append(header{kind: kindRefused, number: 1, length: len(refused)}.encode(), refused...),
		"yours":    header{kind: kindYours, number: 1}.encode(),
		"kept":     header{kind: kindKept, number: 1}.encode(),
		"end":      header{kind: kindEnd}.encode(),
	}
}

// decoded takes a message apart, as the two processes do, and returns it put together again.
func decoded(b []byte, limit int) ([]byte, error) {
	if len(b) < headerSize {
		return nil, malformed("short")
	}
	h, err := decodeHeader(b[:headerSize], limit)
	if err != nil {
		return nil, err
	}
	p := b[headerSize:]
	if len(p) != h.length {
		return nil, malformed("the payload has %d bytes, and %d were announced", len(p), h.length)
	}
	switch h.kind {
	case kindHello:
		g, err := decodeHello(p)
		if err != nil {
			return nil, err
		}
		_ = g.agree()
		return append(h.encode(), append(g.encode(), p[helloSize:]...)...), nil
	case kindListener, kindConn, kindState:
		item, err := decodeItem(h, p)
		if err != nil {
			return nil, err
		}
		return encode(h.number, item, h.files), nil
	case kindRefused:
		r, err := decodeRefused(p)
		if err != nil {
			return nil, err
		}
		return append(h.encode(), r.encode()...), nil
	}
	return h.encode(), nil
}

// TestSamples takes every kind of message apart, and every piece of it.
func TestSamples(t *testing.T) {
	for name, b := range samples() {
		again, err := decoded(b, defaultMessage)
		require.NoError(t, err, name)
		assert.Equal(t, b, again, name)
		for n := range b {
			_, err := decoded(b[:n], defaultMessage)
			assert.ErrorIs(t, err, ErrProtocol, "%s: %d of %d bytes", name, n, len(b))
		}
	}
}

// FuzzMessage takes any bytes apart. What is taken as a message is put together as the same bytes; everything else is an
// ErrProtocol.
func FuzzMessage(f *testing.F) {
	for _, b := range samples() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := decoded(b, 1<<16)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("%v is no ErrProtocol", err)
			}
			return
		}
		if !bytes.Equal(b, again) {
			t.Fatalf("%x is taken for %x", b, again)
		}
	})
}
