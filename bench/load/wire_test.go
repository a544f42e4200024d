//go:build linux

package load

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestWireFrames(t *testing.T) {
	w := newWire(workload.Workload{Kind: workload.KindFrameEcho, Size: 5, Depth: 3})
	plain := newWire(workload.Workload{Kind: workload.KindEcho, Size: 5, Depth: 3})
	var memory []byte
	batch := w.batch(7, 9, &memory)
	require.Len(t, batch, 3*w.length())
	require.Len(t, plain.batch(7, 9, nil), 15)
	var payload []byte
	for rest := batch; len(rest) > 0; {
		n := workload.FrameHead + int(binary.LittleEndian.Uint64(rest))
		payload = append(payload, rest[workload.FrameHead:n]...)
		rest = rest[n:]
	}
	assert.Equal(t, plain.batch(7, 9, nil), payload, "the frames carry the pattern")
}
