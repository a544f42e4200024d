//go:build linux

package servers

import (
	"bufio"
	"io"
	"net"

	"github.com/gobwas/ws"
	"github.com/tandem-io/tandem/bench/workload"
)

// netWS echoes WebSocket frames: a fragment becomes a fragment. Each is answered with one Write.
func netWS(c net.Conn) {
	if _, err := ws.Upgrade(c); err != nil {
		return
	}
	r := bufio.NewReaderSize(c, wsBuffer)
	buf := make([]byte, wsBuffer)
	for {
		h, err := ws.ReadHeader(r)
		if err != nil || h.Length > workload.FrameLimit || !h.Masked {
			return
		}
		frame := wsFrame(h, &buf)
		payload := frame[len(frame)-int(h.Length):]
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		ws.Cipher(payload, h.Mask, 0)
		if _, err := c.Write(frame); err != nil || h.OpCode == ws.OpClose {
			return
		}
	}
}

// wsBuffer is the size of the buffers, as those of other WebSocket libraries.
const wsBuffer = 4 << 10

// wsFrame returns memory for the answer to a frame, with its head.
func wsFrame(h ws.Header, buf *[]byte) []byte {
	if h.OpCode == ws.OpPing {
		h.OpCode = ws.OpPong
	}
	h.Masked = false
	head := ws.HeaderSize(h)
	n := head + int(h.Length)
	if cap(*buf) < n {
		*buf = make([]byte, n)
	}
	frame := (*buf)[:n]
	_ = ws.WriteHeader((*sliceWriter)(&frame), h) // it never fails
	return (*buf)[:n]
}

// sliceWriter writes to the beginning of a slice, and cuts that off.
type sliceWriter []byte

// Write implements io.Writer.
func (w *sliceWriter) Write(p []byte) (int, error) {
	n := copy(*w, p)
	*w = (*w)[n:]
	return n, nil
}
