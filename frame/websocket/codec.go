package websocket

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/gobwas/ws"

	"github.com/tandem-io/tandem/frame"
)

// codecName is the name of the format in errors.
const codecName = "websocket"

const (
	// defaultMaxFragments is the default limit of the fragments of a message.
	defaultMaxFragments = 64 << 10

	// defaultMaxMessage is the default limit of a message, in bytes.
	defaultMaxMessage = 16 << 20

	// mostHeader is the size of the largest header, in bytes.
	mostHeader = 14

	// mostControl is the size of the largest payload of a control frame, in bytes. RFC 6455, section 5.5.
	mostControl = ws.MaxControlFramePayloadSize
)

// Frame is one frame.
//
// From a Decoder: Payload refers to the bytes that were decoded, and is valid as long as they are. If Masked, it has to be
// unmasked first.
//
// For Append: Opcode, Fin, RSV1 and Payload are used, and Payload must not be masked.
type Frame struct {
	Opcode  Opcode
	Fin     bool // the last frame of its message
	RSV1    bool // the first frame of a message that is compressed. RFC 7692, section 6
	Masked  bool
	Mask    [4]byte
	Payload []byte
}

// Unmask unmasks Payload in place, if it is masked. RFC 6455, section 5.3.
func (f *Frame) Unmask() {
	if f.Masked {
		ws.Cipher(f.Payload, f.Mask, 0)
		f.Masked = false
	}
}

// Codec is the format of frames, as one end of a connection reads and writes them. Its zero value is that of a server.
//
//	 0               1               2               3
//	|F|R|R|R|       |M|             |                               |
//	|I|S|S|S|opcode |A| length      | length, 16 or 64 bits         |
//	|N|V|V|V|       |S| 126: 16,    | if the first one is 126 or 127|
//	| |1|2|3|       |K| 127: 64     |                               |
//	| mask, if MASK is set          | payload                       |
//
// A Decoder checks a header when it is there, before the payload has arrived: reserved bits and opcodes, a mask where there
// must be one and nowhere else, the order of fragments, the length of control frames, lengths that take more bytes than they
// need. What the payload means is checked by an [Assembler].
type Codec struct {
	// Client is set at the client's end: a Decoder then refuses masks, and Append masks. Without it, a Decoder requires
	// masks, and Append does not mask.
	Client bool

	// MaxMessage limits the payload of a received message, in all of its fragments, and again when it is inflated. In
	// bytes. Default 16 MiB; a negative value means 0. With Fragments it limits each fragment.
	MaxMessage int

	// MaxFragments limits how many fragments a message is put together of: without payload, they could go on for ever.
	// Default 65,536; negative: no limit. Fragments that are taken one by one are not counted.
	MaxFragments int

	// Fragments is set for messages that are taken fragment by fragment, see Assembler.
	Fragments bool

	// Compression is set when permessage-deflate was agreed upon: messages may be compressed.
	Compression bool
}

var _ frame.Codec[Frame] = Codec{}

func (c Codec) limit() int {
	if c.MaxMessage == 0 {
		return defaultMaxMessage
	}
	return min(max(c.MaxMessage, 0), math.MaxInt-mostHeader)
}

func (c Codec) fragmentLimit() int {
	switch {
	case c.MaxFragments == 0:
		return defaultMaxFragments
	case c.MaxFragments < 0:
		return math.MaxInt
	}
	return c.MaxFragments
}

// MaxSize is the size of the largest frame: MaxMessage, or that of a control frame, and 14 bytes of header.
func (c Codec) MaxSize() int { return max(c.limit(), mostControl) + mostHeader }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c Codec) NewDecoder() frame.Decoder[Frame] {
	d := &decoder{state: ws.StateServerSide, most: c.limit(), compression: c.Compression, fragments: c.Fragments}
	if c.Client {
		d.state = ws.StateClientSide
	}
	if c.Compression {
		d.state = d.state.Set(ws.StateExtended)
	}
	return d
}

// Append appends the encoded f to dst. A frame that no peer would accept is ErrMalformed: an opcode that is not defined, or
// a control frame that is not final or has more than 125 bytes. MaxMessage does not limit it.
func (c Codec) Append(dst []byte, f Frame) ([]byte, error) {
	if err := checkOutgoing(&f); err != nil {
		return dst, err
	}
	dst = c.appendHeader(dst, &f)
	if !c.Client {
		return append(dst, f.Payload...), nil
	}
	mask := newMask()
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, f.Payload...)
	ws.Cipher(dst[start:], mask, 0)
	return dst, nil
}

// AppendHeader appends the header of f alone, for a server that sends Payload by itself. It fails as Append does, and for a
// Client, which has to mask the payload.
func (c Codec) AppendHeader(dst []byte, f Frame) ([]byte, error) {
	if c.Client {
		return dst, malformed(0, "a client's payload has to be masked")
	}
	if err := checkOutgoing(&f); err != nil {
		return dst, err
	}
	return c.appendHeader(dst, &f), nil
}

func checkOutgoing(f *Frame) error {
	switch {
	case !f.Opcode.valid():
		return malformed(0, "a frame with the %v, which is reserved", f.Opcode)
	case !f.Opcode.Control():
		return nil
	case !f.Fin || f.RSV1:
		return malformed(0, "a %v frame that is a fragment or compressed", f.Opcode)
	case len(f.Payload) > mostControl:
		return malformed(0, "a %v frame of %d bytes; the most are %d", f.Opcode, len(f.Payload), mostControl)
	}
	return nil
}

// appendHeader appends the header without its mask.
func (c Codec) appendHeader(dst []byte, f *Frame) []byte {
	length := len(f.Payload)
	first, masked := byte(f.Opcode), byte(0)
	if f.Fin {
		first |= 0x80
	}
	if f.RSV1 {
		first |= 0x40
	}
	if c.Client {
		masked = 0x80
	}
	switch {
	case length < 126:
		return append(dst, first, masked|byte(length))
	case length <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, first, masked|126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, masked|127), uint64(length))
}

func malformed(offset int, format string, args ...any) error {
	return &frame.Error{Codec: codecName, Offset: int64(offset), What: fmt.Sprintf(format, args...), Err: frame.ErrMalformed}
}

func tooLarge(offset int, what string, limit int) error {
	return &frame.Error{
		Codec: codecName, Offset: int64(offset), Err: frame.ErrTooLarge,
		What: fmt.Sprintf("%s of more bytes than the limit of %d", what, limit),
	}
}

func invalid(offset int, format string, args ...any) error {
	return &frame.Error{Codec: codecName, Offset: int64(offset), What: fmt.Sprintf(format, args...), Err: ErrInvalidData}
}
