package httpsession

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
)

// sending is the message in parts that is being written: it checks that they come in order, and as many bytes as were
// announced.
type sending struct {
	within bool
	left   int64 // bytes that are missing of the Content-Length; -1: there is none
}

// check returns an error for a part that must not come now. length is that of the message's head, -1 for none, and bare that it
// has no content.
func (s *sending) check(part http1.Part, content int, length int64, bare bool) error {
	left := s.left
	switch {
	case part.Begins() == s.within:
		return s.wrong(fmt.Sprintf("the %v part of a message comes out of order", part))
	case part == http1.Whole, bare:
		return nil
	case part == http1.First:
		left = length
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
		if s.left = length; bare {
			s.left = -1
		}
	}
	if s.within = !part.Ends(); s.left > 0 {
		s.left -= int64(content)
	}
}

// lengthOf returns the Content-Length of a message in parts, or -1. One of 0 is announced by Header alone.
func lengthOf(length int64, header map[string][]string) int64 {
	if length != 0 {
		return max(length, -1)
	}
	for name, values := range header {
		if !strings.EqualFold(name, "Content-Length") {
			continue
		}
		for _, value := range values {
			if n, err := strconv.ParseInt(strings.Trim(value, " \t"), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1 // or one that the codec refuses
}
