//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
)

// A U64 frame is the length of its payload, 8 bytes, little-endian, and the payload.
const (
	frameHead  = 8
	frameLimit = 16 << 20 // of a payload
)

// frameLength is the length of a frame, head included, that begins with head.
func frameLength(head []byte) (int, error) {
	n := binary.LittleEndian.Uint64(head)
	if n > frameLimit {
		return 0, fmt.Errorf("a frame of %d bytes, and at most %d may come", n, frameLimit)
	}
	return frameHead + int(n), nil
}

// frameBuffer puts together the frames of one connection, for servers that are given bytes and keep none.
type frameBuffer struct {
	rest []byte // the beginning of a frame
}

// take calls each for every frame that p completes. A frame is lent until each returns.
func (b *frameBuffer) take(p []byte, each func(frame []byte) error) error {
	if len(b.rest) > 0 {
		b.rest = append(b.rest, p...)
		p = b.rest
	}
	for len(p) >= frameHead {
		n, err := frameLength(p)
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
