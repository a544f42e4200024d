//go:build linux

package servers

import (
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/bench/workload"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// tandemFrames answers each U64 frame with one write.
func tandemFrames(work time.Duration) tandem.Handler {
	codec := frame.U64{MaxPayload: workload.FrameLimit}
	return session.Frames(codec, func(s *tandem.Stream, payload []byte) {
		burn(work)
		_ = session.WriteFrame(s, codec, payload) // fails only if the stream has ended, or its peer reads nothing
	})
}
