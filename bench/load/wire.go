//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tandem-io/tandem/bench/workload"
)

// wire is the form of a workload's messages on a connection: the bytes of the pattern, each message with a head if it
// is a frame. An echo brings back the same.
type wire struct {
	pattern *pattern
	size    int    // bytes of a message
	count   int    // messages sent at once
	head    int    // bytes in front of each message
	fixed   []byte // every batch, if it is always the same; nil: the pattern
}

func newWire(w workload.Workload) wire {
	head := 0
	if w.Kind == workload.KindFrameEcho {
		head = workload.FrameHead
	}
	if w.Kind == workload.KindHTTP || w.Kind == workload.KindHTTPStd {
		return wire{size: w.Size, count: w.Depth, fixed: bytes.Repeat([]byte(workload.Hello), w.Depth)}
	}
	return wire{pattern: newPattern(w.Size * w.Depth), size: w.Size, count: w.Depth, head: head}
}

// length is how many bytes one message takes.
func (w *wire) length() int { return w.head + w.size }

// batch is the bytes that connection conn sends as batch number seq. With heads it is written to *buf, which grows;
// without, it is the memory of the pattern and must not be modified.
func (w *wire) batch(conn int, seq uint64, buf *[]byte) []byte {
	if w.fixed != nil {
		return w.fixed
	}
	plain := w.pattern.batch(conn, seq, w.size*w.count)
	if w.head == 0 {
		return plain
	}
	b := (*buf)[:0]
	for i := range w.count {
		b = binary.LittleEndian.AppendUint64(b, uint64(w.size))
		b = append(b, plain[i*w.size:(i+1)*w.size]...)
	}
	*buf = b
	return b
}

// check compares p with what is expected after the first got bytes of a batch, of which sent has been sent.
func (w *wire) check(conn int, seq uint64, sent []byte, got int, p []byte) error {
	if extra := len(p) - (len(sent) - got); extra > 0 {
		return fmt.Errorf("connection %d: %d more bytes came back than were sent", conn, extra)
	}
	want := sent[got : got+len(p)]
	at := firstDifference(p, want)
	if at < 0 {
		return nil
	}
	whole := got + at
	return &wrongByte{
		Conn:    conn,
		Message: seq*uint64(w.count) + uint64(whole/w.length()),
		Offset:  whole % w.length(),
		Got:     p[at],
		Want:    want[at],
	}
}

// completed is how many messages n more bytes complete, after the first got of a batch.
func (w *wire) completed(got, n int) int { return (got+n)/w.length() - got/w.length() }
