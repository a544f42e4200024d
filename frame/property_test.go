package frame_test

import (
	"bytes"
	"testing"

	"github.com/tandem-io/tandem/frame/frametest"
)

// TestCodecs holds every codec to the contract.
func TestCodecs(t *testing.T) {
	for _, s := range subjects() {
		t.Run(s.name, func(t *testing.T) { frametest.Run(t, s.strict()) })
	}
}

// strict is s as frametest wants it.
func (s subject) strict() frametest.Subject[[]byte] {
	strict := frametest.Bytes(s.codec, s.message)
	strict.Mislead = s.mislead
	tooLarge := s.tooLarge
	if tooLarge == nil {
		tooLarge = make([]byte, s.codec.MaxSize()+1)
	}
	strict.TooLarge = [][]byte{tooLarge}
	return strict
}

// mislead overwrites what a Decoder may not look at again with the header of another frame, or with delimiters.
func (s subject) mislead(seen []byte) {
	if s.trap == nil {
		if prefix := max(s.header, 1); len(seen) >= prefix {
			copy(seen, bytes.Repeat([]byte{0xff}, prefix))
		}
		return
	}
	for i := 0; i+len(s.trap) <= len(seen)-s.lookBack; i += len(s.trap) {
		copy(seen[i:], s.trap)
	}
}
