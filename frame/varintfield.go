package frame

import (
	"encoding/binary"
	"fmt"
	"math"
)

// VarintFieldOptions describe a format with a header of constant size, and a length in base 128 behind it.
//
//	| header       | length                                                | payload      |
//	| Offset bytes | base 128, low groups first; 1 to Length bytes, of     | length bytes |
//	|              | which all but the last have the bit 0x80              |              |
//
// The control packets of MQTT are Offset 1, Length 4 and, since MQTT 5, Minimal.
type VarintFieldOptions struct {
	// Offset is the size of the header, in bytes. 0: there is none.
	Offset int

	// Length is the size of the longest length, in bytes: 1 to 10. 0: 10.
	Length int

	// Minimal refuses a length that has more bytes than necessary.
	Minimal bool

	// MaxPayload is the size of the largest payload, in bytes, in both directions. 0: 16 MiB. What Length bytes cannot say
	// is a limit, too.
	MaxPayload int

	// SkipTooLarge makes a Decoder drop a payload above MaxPayload as it comes, without memory, and go on behind it. The
	// error, which is ErrTooLarge, has Skipped set, and follows the last byte. Without it the error follows the length and
	// is the last.
	SkipTooLarge bool
}

const varintFieldName = "VarintField"

// varintField is the format of NewVarintField.
type varintField struct {
	prefix varintPrefix // of a frame that has not begun
	skip   bool
}

// NewVarintField returns the Codec of the format that o describes. An option that it cannot honour is an error that names
// the field.
//
// Header of a message has Offset bytes, and Body is the payload, which may be empty. The length is in neither. A length above
// MaxPayload is ErrTooLarge as soon as it is received completely, except with SkipTooLarge. One of more than Length bytes, or
// of more than 64 bits, is ErrMalformed at the byte that shows it. Append writes the fewest bytes.
func NewVarintField(o VarintFieldOptions) (Codec[Message], error) {
	if o.Length == 0 {
		o.Length = binary.MaxVarintLen64
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = defaultMaxPayload
	}
	switch {
	case o.Length < 1 || o.Length > binary.MaxVarintLen64:
		return nil, fmt.Errorf("frame: VarintFieldOptions.Length is %d: it must be from 1 to %d", o.Length, binary.MaxVarintLen64)
	case o.Offset < 0 || o.Offset > math.MaxInt32-binary.MaxVarintLen64: // so that the sum is an int everywhere
		return nil, fmt.Errorf("frame: VarintFieldOptions.Offset is %d: it must be from 0 to 2^31-11", o.Offset)
	case o.MaxPayload < 0:
		return nil, fmt.Errorf("frame: VarintFieldOptions.MaxPayload is %d, but must not be negative", o.MaxPayload)
	}
	most := uint64(min(o.MaxPayload, math.MaxInt-o.Offset-o.Length))
	if o.Length < binary.MaxVarintLen64 {
		most = min(most, 1<<(7*o.Length)-1)
	}
	return &varintField{
		prefix: varintPrefix{codec: varintFieldName, offset: o.Offset, bytes: o.Length, minimal: o.Minimal, most: most},
		skip:   o.SkipTooLarge,
	}, nil
}

func (c *varintField) NewDecoder() Decoder[Message] {
	return skipping[Message](&varintFieldDecoder{c.prefix}, c.skip)
}

func (c *varintField) MaxSize() int { return c.prefix.offset + c.prefix.bytes + int(c.prefix.most) }

func (c *varintField) Append(dst []byte, m Message) ([]byte, error) {
	if len(m.Header) != c.prefix.offset {
		return dst, malformed(varintFieldName, 0, "header of %d bytes where each has %d", len(m.Header), c.prefix.offset)
	}
	if n := uint64(len(m.Body)); n > c.prefix.most {
		return dst, tooLarge(varintFieldName, len(m.Header)+int(c.prefix.most), "payload", n, c.prefix.most)
	}
	dst = append(dst, m.Header...)
	dst = binary.AppendUvarint(dst, uint64(len(m.Body)))
	return append(dst, m.Body...), nil
}

type varintFieldDecoder struct{ varintPrefix }

func (d *varintFieldDecoder) Decode(p []byte) (m Message, n, need int, err error) {
	begin, n, need, err := d.frame(p)
	if n == 0 {
		return Message{}, 0, need, err
	}
	return Message{Header: p[:d.offset:d.offset], Body: p[begin:n:n]}, n, 0, nil
}

func (d *varintFieldDecoder) End(p []byte) (Message, bool, error) {
	return Message{}, false, unfinished(d.codec, p)
}
