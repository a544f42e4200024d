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
	if s.hide != nil {
		strict.Mislead = s.hide
	}
	tooLarge := s.tooLarge
	if tooLarge == nil {
		tooLarge = make([]byte, s.codec.MaxSize()+1)
	}
	strict.TooLarge = [][]byte{tooLarge}
	if s.copies {
		strict.InPlace = nil
	}
	return strict
}

// hideFields overwrites the fields of LSP, once they have been seen with their end: before that they are not parsed.
func hideFields(seen []byte) { hideHeader(seen, "\r\n\r\n") }

// hideHeader overwrites a header with ends, once it has been seen with its end.
func hideHeader(seen []byte, end string) {
	if i := bytes.Index(seen, []byte(end)); i >= 0 {
		copy(seen, bytes.Repeat([]byte(end), i/len(end)+1))
	}
}

// hideData puts zeros into the blocks of COBS, in place of data.
func hideData(seen []byte) {
	for i := range seen {
		if i%255 != 0 {
			seen[i] = 0
		}
	}
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
