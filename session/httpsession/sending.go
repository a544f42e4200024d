package httpsession

import (
	"fmt"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
)

// sending is the message in parts that is being written: it checks that they come in order, and as many bytes as were
// announced.
type sending struct {
	within bool
	left   int64 // bytes that are missing of the Content-Length; -1: there is none
}

// check returns an error for a part that must not come now. length is that of the message's head, 0 or -1 for none, and bare
// that it has no content.
func (s *sending) check(part http1.Part, content int, length int64, bare bool) error {
	left := s.left
	switch {
	case part.Begins() == s.within:
		return s.wrong(fmt.Sprintf("the %v part of a message comes out of order", part))
	case part == http1.Whole, bare:
		return nil
	case part == http1.First:
		if left = length; left <= 0 {
			left = -1
		}
	}
	switch {
	case left < 0:
	case int64(content) > left:
		return s.wrong(fmt.Sprintf("%d bytes of content where %d are left of its Content-Length", content, left))
	case part == http1.Last && int64(content) < left:
		return s.wrong(fmt.Sprintf("the last part has %d bytes of content where %d are left of its Content-Length", content, left))
	}
	return nil
}

func (s *sending) wrong(what string) error {
	return &frame.Error{Codec: "httpsession", What: what, Err: frame.ErrMalformed}
}

// wrote follows a part that was written.
func (s *sending) wrote(part http1.Part, content int, length int64, bare bool) {
	if part == http1.First {
		if s.left = length; s.left <= 0 || bare {
			s.left = -1
		}
	}
	if s.within = !part.Ends(); s.left > 0 {
		s.left -= int64(content)
	}
}

// lengthOf returns the Content-Length of a message in parts, or 0.
func lengthOf(length int64, header map[string][]string) int64 {
	if length != 0 {
		return length
	}
	for _, value := range header["Content-Length"] {
		if _, err := fmt.Sscanf(value, "%d", &length); err != nil {
			return 0
		}
	}
	return length
}
