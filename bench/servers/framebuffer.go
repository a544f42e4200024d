//go:build linux

package servers

import (
	"github.com/tandem-io/tandem/bench/workload"
)

// frameBuffer assembles the frames of one connection, for libraries that pass on bytes and keep none.
type frameBuffer struct {
	rest []byte // the beginning of a frame
}

// take calls each for every frame that p completes. A frame is lent until each returns.
func (b *frameBuffer) take(p []byte, each func(frame []byte) error) error {
	if len(b.rest) > 0 {
		b.rest = append(b.rest, p...)
		p = b.rest
	}
	for len(p) >= workload.FrameHead {
		n, err := workload.FrameLength(p)
		if err != nil {
			return err
		}
		if n > len(p) {
			break
		}
		if err := each(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	b.rest = append(b.rest[:0], p...) // p may lie behind in the same memory
	return nil
}
