package frame

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// LengthFieldOptions describe a format with a length somewhere in the header of a frame. They are those of Netty's
// LengthFieldBasedFrameDecoder and LengthFieldPrepender.
//
//	| header 1     | length field | the rest                                          |
//	| Offset bytes | Length bytes | what the length field says, and Adjustment, bytes |
//
// With LengthIncludesItself the length field counts its own bytes too, and the rest has Length bytes less. So a length
// field that counts the whole frame is LengthIncludesItself with an Adjustment of -Offset.
type LengthFieldOptions struct {
	// LittleEndian is the byte order of the length field. False: big-endian.
	LittleEndian bool

	// Offset is the position of the length field in a frame, in bytes.
	Offset int

	// Length is the size of the length field, in bytes: 1, 2, 3, 4 or 8. 0: 4. One of 8 bytes is signed, and must not
	// be negative; the others are unsigned.
	Length int

	// Adjustment is added to the value of the length field, in bytes: positive if the field does not count something that
	// follows it, negative if it counts something in front of it. It is the adjustment of Netty's decoder; its
	// LengthFieldPrepender takes the same number with the opposite sign. From -2^31 to 2^31-1.
	Adjustment int

	// LengthIncludesItself says that the length field counts its own bytes.
	LengthIncludesItself bool

	// Strip is the number of bytes at the front of a frame that are not part of the message. 0: the message is the whole
	// frame, including the header. Set it to Offset plus Length to get only the bytes behind the length field.
	Strip int

	// Head is what Append writes in place of the stripped bytes. It has Strip bytes; the length field overwrites its part.
	// Nil: zero bytes. A Decoder does not check the bytes that it strips, except for the length field.
	Head []byte

	// FailLate makes a Decoder consume a frame above MaxFrame to its end, and drop it, before it returns ErrTooLarge. The
	// peer can then send all of it and read an answer, which is not possible if the connection is closed with bytes unread.
	// This takes as long as the peer sends, but no memory. Without FailLate the error follows the length field. In both
	// cases the frame is the last one of the Decoder.
	FailLate bool

	// SkipTooLarge makes a Decoder drop a frame above MaxFrame as with FailLate, and go on behind it. The error has
	// Skipped set. Not with FailLate.
	SkipTooLarge bool

	// MaxFrame is the size of the largest frame, in bytes, with its header and in both directions. 0: 16 MiB. At most
	// 2^62.
	MaxFrame int
}

const (
	lengthFieldName    = "LengthField"
	defaultMaxFrame    = 16 << 20
	defaultLengthField = 4
)

// lengthField is the format of NewLengthField.
type lengthField struct {
	littleEndian, failLate, skip bool

	offset, length int
	strip          int
	head           []byte // strip bytes
	maxFrame       int

	base        int64 // size of a frame whose length field is 0; may be negative
	least, most int64 // bounds of the value of a length field
}

// NewLengthField returns the Codec of the format that o describes. An option that it cannot honour is an error that
// names the field.
//
// A message is a frame without its first Strip bytes. One from a Decoder refers to the bytes it was decoded from. A length
// field is ErrMalformed if it is negative, or if the frame would end before its header or within the stripped bytes. It is
// ErrTooLarge if the frame would be larger than MaxFrame. Both are returned as soon as the length field is received, except
// with FailLate or SkipTooLarge: then ErrTooLarge follows the last byte of the frame. Its offset is that of the length
// field, negative if that was consumed before. If the peer finishes earlier, it is io.ErrUnexpectedEOF.
//
// Append is the reverse: it puts Head in front of the message, with the length field filled in. If Strip leaves a part of
// the length field in the message, that part must be correct already, or the message is ErrMalformed. So is a message that
// is too short for any length field. A message for which the length field or MaxFrame is too small is ErrTooLarge.
func NewLengthField(o LengthFieldOptions) (Codec[[]byte], error) {
	if o.Length == 0 {
		o.Length = defaultLengthField
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = defaultMaxFrame
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &lengthField{
		littleEndian: o.LittleEndian,
		failLate:     o.FailLate,
		skip:         o.SkipTooLarge,
		offset:       o.Offset,
		length:       o.Length,
		strip:        o.Strip,
		head:         bytes.Clone(o.Head),
		maxFrame:     o.MaxFrame,
	}
	if c.head == nil {
		c.head = make([]byte, o.Strip)
	}
	c.base = int64(o.Adjustment) + int64(o.Offset)
	if !o.LengthIncludesItself {
		c.base += int64(o.Length)
	}
	c.least = max(0, int64(max(o.Offset+o.Length, o.Strip))-c.base)
	c.most = min(highest(o.Length), int64(o.MaxFrame)-c.base)
	if c.least > c.most {
		return nil, wrong("Adjustment", o.Adjustment, "leaves no frame between its header, or Strip, and MaxFrame")
	}
	return c, nil
}

// check checks each option by itself. Within these bounds no sum of them overflows an int64.
func (o *LengthFieldOptions) check() error {
	switch {
	case o.Length < 1 || o.Length > 4 && o.Length != 8:
		return wrong("Length", o.Length, "must be 1, 2, 3, 4 or 8")
	case o.MaxFrame < o.Length || int64(o.MaxFrame) > 1<<62:
		return wrong("MaxFrame", o.MaxFrame, "must have room for the length field, and be at most 2^62")
	case o.Offset < 0 || o.Offset > o.MaxFrame-o.Length:
		return wrong("Offset", o.Offset, "must be at least 0, and the length field within MaxFrame")
	case o.Strip < 0 || o.Strip > o.MaxFrame:
		return wrong("Strip", o.Strip, "must be from 0 to MaxFrame")
	case o.Head != nil && len(o.Head) != o.Strip:
		return fmt.Errorf("frame: LengthFieldOptions.Head has %d bytes, but must have %d, as Strip says",
			len(o.Head), o.Strip)
	case o.FailLate && o.SkipTooLarge:
		return errors.New("frame: LengthFieldOptions.FailLate and SkipTooLarge are set, but exclude each other")
	case int64(o.Adjustment) != int64(int32(o.Adjustment)):
		return wrong("Adjustment", o.Adjustment, "must be from -2^31 to 2^31-1")
	}
	return nil
}

func wrong(field string, value int, why string) error {
	return fmt.Errorf("frame: LengthFieldOptions.%s is %d: it %s", field, value, why)
}

// highest returns the largest value of a length field of that many bytes.
func highest(length int) int64 {
	if length == 8 {
		return math.MaxInt64
	}
	return 1<<(8*length) - 1
}

func (c *lengthField) name() string { return lengthFieldName }
func (c *lengthField) MaxSize() int { return c.maxFrame }

func (c *lengthField) NewDecoder() Decoder[[]byte] {
	if c.failLate {
		return &droppingDecoder[[]byte]{sized: &prefixedDecoder{format: c}}
	}
	return newDecoder(c, c.skip)
}

func (c *lengthField) Append(dst, m []byte) ([]byte, error) {
	said := int64(c.strip) + int64(len(m)) - c.base
	if said > c.most {
		most := uint64(c.most + c.base - int64(c.strip))
		return dst, tooLarge(lengthFieldName, int(most), "message", uint64(len(m)), most)
	}
	if said < c.least {
		return dst, malformed(lengthFieldName, len(m), "message of %d bytes, but the shortest has %d",
			len(m), c.least+c.base-int64(c.strip))
	}
	field := c.encode(uint64(said))
	out := append(append(dst, c.head...), m...)
	frame := out[len(dst):]
	for i, b := range field[:c.length] {
		at := c.offset + i
		if at >= c.strip && frame[at] != b {
			return dst, malformed(lengthFieldName, at-c.strip, "the length field in the message is not %d", said)
		}
		frame[at] = b
	}
	return out, nil
}

// encode returns a length field, in the first bytes of the array.
func (c *lengthField) encode(said uint64) (field [8]byte) {
	for i := range c.length {
		shift := 8 * i
		if !c.littleEndian {
			shift = 8 * (c.length - 1 - i)
		}
		field[i] = byte(said >> shift)
	}
	return field
}

// decode returns the value of the length field of a frame.
func (c *lengthField) decode(frame []byte) int64 {
	field := frame[c.offset : c.offset+c.length]
	var said uint64
	for i, b := range field {
		if c.littleEndian {
			said |= uint64(b) << (8 * i)
		} else {
			said = said<<8 | uint64(b)
		}
	}
	return int64(said)
}

func (c *lengthField) measure(p []byte) (size uint64, need int, err error) {
	if header := c.offset + c.length; len(p) < header {
		return 0, header - len(p), nil
	}
	said := c.decode(p)
	switch {
	case said < 0:
		return 0, 0, malformed(lengthFieldName, c.offset, "the length field says %d, which is negative", said)
	case said < c.least:
		return 0, 0, malformed(lengthFieldName, c.offset, "the length field says %d, but the shortest frame has %d",
			said, c.least)
	case said > c.most:
		size = uint64(said) + uint64(c.base) // may exceed an int64
		return size, 0, tooLarge(lengthFieldName, c.offset, "frame", size, uint64(c.maxFrame))
	}
	return uint64(said + c.base), 0, nil
}

func (c *lengthField) unwrap(frame []byte) ([]byte, error) { return frame[c.strip:], nil }
