//go:build linux

package main

import (
	"time"

	"github.com/tandem-io/tandem"
)

// tandemFrames answers each U64 frame with one write.
func tandemFrames(work time.Duration) tandem.Handler { return tandemFrameEcho{work: work} }

// tandemFrameEcho decodes in place: a frame is looked at in the stream's own memory, and read when it is whole.
type tandemFrameEcho struct {
	tandem.BaseHandler
	work time.Duration
}

// OnData implements tandem.Handler.
func (h tandemFrameEcho) OnData(s *tandem.Stream) {
	for s.Buffered() >= frameHead {
		head, _ := s.Peek(frameHead)
		n, err := frameLength(head)
		if err != nil {
			_ = s.Abort()
			return
		}
		if s.Buffered() < n {
			return
		}
		frame, _ := s.Next(n)
		burn(h.work)
		if _, err := s.Write(frame); err != nil {
			return
		}
	}
}
