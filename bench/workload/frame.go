package workload

import (
	"encoding/binary"
	"fmt"
)

// A U64 frame is the length of its payload, 8 bytes, little-endian, and the payload.
const (
	FrameHead  = 8
	FrameLimit = 16 << 20 // of a payload
)

// FrameLength is the length of a frame, head included, that begins with head.
func FrameLength(head []byte) (int, error) {
	n := binary.LittleEndian.Uint64(head)
	if n > FrameLimit {
		return 0, fmt.Errorf("frame of %d bytes: at most %d are allowed", n, FrameLimit)
	}
	return FrameHead + int(n), nil
}
