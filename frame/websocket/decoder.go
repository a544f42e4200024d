package websocket

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/gobwas/ws"

	"github.com/tandem-io/tandem/frame"
)

// decoder finds the frames of one peer.
type decoder struct {
	state       ws.State // of the connection, as ws.CheckHeader knows it
	compression bool
	fragments   bool
	most        int // limit of a message, or of each fragment
	sum         int // payload of the present message so far
}

// Decode implements frame.Decoder.
func (d *decoder) Decode(p []byte) (f Frame, n, need int, err error) {
	if len(p) < 2 {
		return Frame{}, 0, 2 - len(p), nil
	}
	f = Frame{Opcode: Opcode(p[0] & 0x0f), Fin: p[0]&0x80 != 0, RSV1: p[0]&0x40 != 0, Masked: p[1]&0x80 != 0}
	if err := d.check(p); err != nil {
		return Frame{}, 0, 0, err
	}
	size := headerSize(p[1])
	if len(p) < size {
		return Frame{}, 0, size - len(p), nil
	}
	length, err := payloadLength(p)
	if err != nil {
		return Frame{}, 0, 0, err
	}
	if length > uint64(d.room(f.Opcode)) {
		return Frame{}, 0, 0, d.tooLarge(f.Opcode)
	}
	n = size + int(length)
	if len(p) < n {
		return Frame{}, 0, n - len(p), nil
	}
	if f.Masked {
		copy(f.Mask[:], p[size-4:])
	}
	f.Payload = p[size:n:n]
	d.took(&f)
	return f, n, 0, nil
}

// check checks the first two bytes of a header, in the order of RFC 6455, section 5.2.
func (d *decoder) check(p []byte) error {
	h := ws.Header{
		Fin: p[0]&0x80 != 0, Rsv: p[0] & 0x70 >> 4, OpCode: ws.OpCode(p[0] & 0x0f),
		Masked: p[1]&0x80 != 0, Length: int64(p[1] & 0x7f), // 126 and 127 are too many for a control frame
	}
	if err := ws.CheckHeader(h, d.state); err != nil {
		return malformed(0, "%v", err)
	}
	// RFC 7692, section 6: RSV1 belongs to the first frame of a message, and the other two to no extension of ours.
	if h.Rsv2() || h.Rsv3() || h.Rsv1() && (h.OpCode.IsControl() || h.OpCode == ws.OpContinuation) {
		return malformed(0, "a reserved bit where no extension defines it, in a frame with the %v", Opcode(h.OpCode))
	}
	return nil
}

// headerSize returns the size of a header whose second byte is b.
func headerSize(b byte) int {
	size := 2
	switch b & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if b&0x80 != 0 {
		size += 4
	}
	return size
}

// payloadLength returns the length in a whole header. RFC 6455, section 5.2: in as few bytes as it takes.
func payloadLength(p []byte) (uint64, error) {
	switch short := p[1] & 0x7f; short {
	case 126:
		length := uint64(binary.BigEndian.Uint16(p[2:]))
		if length < 126 {
			return 0, malformed(1, "a length of %d bytes in 16 bits", length)
		}
		return length, nil
	case 127:
		length := binary.BigEndian.Uint64(p[2:])
		if length > math.MaxInt64 {
			return 0, malformed(2, "a length with its first bit set")
		}
		if length <= math.MaxUint16 {
			return 0, malformed(1, "a length of %d bytes in 64 bits", length)
		}
		return length, nil
	default:
		return uint64(short), nil
	}
}

// room returns how large the payload of the next frame may be.
func (d *decoder) room(o Opcode) int {
	if o.Control() {
		return mostControl
	}
	return d.most - d.sum
}

func (d *decoder) tooLarge(o Opcode) error {
	what := "a message"
	if d.fragments {
		what = "a fragment"
	}
	return tooLarge(1, fmt.Sprintf("%s with a %v frame", what, o), d.most)
}

// took follows a whole frame.
func (d *decoder) took(f *Frame) {
	switch {
	case f.Opcode.Control():
	case f.Fin:
		d.state, d.sum = d.state.Clear(ws.StateFragmented), 0
	default:
		d.state = d.state.Set(ws.StateFragmented)
		if !d.fragments {
			d.sum += len(f.Payload)
		}
	}
}

// End implements frame.Decoder. The end of the stream ends no frame, and between two messages it is none of the codec's
// concern that there was no Close.
func (d *decoder) End(p []byte) (Frame, bool, error) {
	if len(p) == 0 && !d.state.Fragmented() {
		return Frame{}, false, nil
	}
	return Frame{}, false, &frame.Error{
		Codec: codecName, Offset: int64(len(p)), Err: io.ErrUnexpectedEOF, What: "the peer finished within a message",
	}
}
