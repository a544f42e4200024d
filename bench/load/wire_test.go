//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/tandem-io/tandem/bench/workload"
)

func TestWireFrames(t *testing.T) {
	w := newWire(workload.Workload{Kind: workload.KindFrameEcho, Size: 5, Depth: 3})
	plain := newWire(workload.Workload{Kind: workload.KindEcho, Size: 5, Depth: 3})
	var memory []byte
	batch := w.batch(7, 9, &memory)
	if want := plain.batch(7, 9, nil); len(batch) != 3*w.length() || len(want) != 15 {
		t.Fatalf("%d and %d bytes", len(batch), len(want))
	}
	var payload []byte
	for rest := batch; len(rest) > 0; {
		n := workload.FrameHead + int(binary.LittleEndian.Uint64(rest))
		payload = append(payload, rest[workload.FrameHead:n]...)
		rest = rest[n:]
	}
	if !bytes.Equal(payload, plain.batch(7, 9, nil)) {
		t.Error("the frames carry something else than the pattern")
	}
}
