package frame

const (
	pktLineName   = "PktLine"
	pktLineHeader = 4
	pktLineMost   = 65520 // size of the largest frame, in bytes
)

// PktLine is the format of git's pkt-lines, as gitprotocol-common(5) describes it.
//
//	| length                                    | data             |
//	| four hexadecimal digits, of the whole     | length - 4 bytes |
//
// Lengths below 4 have no data and a meaning of their own: see PktKind. 3 is ErrMalformed, and so is what is no digit, both
// as soon as the four bytes are received; a length above 65,520 is ErrTooLarge then. Digits above 9 may be capital letters.
// Append writes small ones.
//
// Data may be empty, although git says that one should not send that, and often ends with a line feed, which is a part of it.
// Data from a Decoder refers to the bytes it was decoded from.
type PktLine struct{}

// Pkt is a message of PktLine. Its zero value is one of no data.
type Pkt struct {
	Kind PktKind
	Data []byte // only of PktData
}

// PktKind is the kind of a Pkt.
type PktKind uint8

// Kinds of a Pkt.
const (
	PktData        PktKind = iota // 0004 to fff0
	PktFlush                      // 0000, the end of a message
	PktDelim                      // 0001, the end of a section of a message, since version 2 of the protocol
	PktResponseEnd                // 0002, the end of a response without a connection, since version 2
)

// String returns what the kind is called in git's documentation, or data.
func (k PktKind) String() string {
	switch k {
	case PktData:
		return "data"
	case PktFlush:
		return "flush-pkt"
	case PktDelim:
		return "delim-pkt"
	case PktResponseEnd:
		return "response-end-pkt"
	}
	return "unknown"
}

// NewDecoder returns a Decoder for the bytes of one peer.
func (PktLine) NewDecoder() Decoder[Pkt] { return &pktLineDecoder{} }

// MaxSize is 65,520.
func (PktLine) MaxSize() int { return pktLineMost }

// Append appends the frame of m to dst. Data of more than 65,516 bytes is ErrTooLarge. A Kind that is unknown, or one
// without data that has some, is ErrMalformed.
func (PktLine) Append(dst []byte, m Pkt) ([]byte, error) {
	const most = pktLineMost - pktLineHeader
	length := 0
	switch {
	case m.Kind > PktResponseEnd:
		return dst, malformed(pktLineName, 0, "there is no PktKind %d", m.Kind)
	case m.Kind != PktData && len(m.Data) > 0:
		return dst, malformed(pktLineName, 0, "a %v has no data, but this one has %d bytes", m.Kind, len(m.Data))
	case m.Kind != PktData:
		length = int(m.Kind) - 1
	case len(m.Data) > most:
		return dst, tooLarge(pktLineName, most, "data", uint64(len(m.Data)), most)
	default:
		length = pktLineHeader + len(m.Data)
	}
	const digits = "0123456789abcdef"
	dst = append(dst, digits[length>>12], digits[length>>8&15], digits[length>>4&15], digits[length&15])
	return append(dst, m.Data...), nil
}

type pktLineDecoder struct {
	frameSize
	kind PktKind
}

func (d *pktLineDecoder) Decode(p []byte) (m Pkt, n, need int, err error) {
	if d.size == 0 {
		if need, err = d.measure(p); need > 0 || err != nil {
			return Pkt{}, 0, need, err
		}
	}
	if n, need = d.whole(p); need > 0 {
		return Pkt{}, 0, need, nil
	}
	if d.kind != PktData {
		return Pkt{Kind: d.kind}, n, 0, nil
	}
	return Pkt{Data: p[pktLineHeader:n:n]}, n, 0, nil
}

func (d *pktLineDecoder) measure(p []byte) (need int, err error) {
	if len(p) < pktLineHeader {
		return pktLineHeader - len(p), nil
	}
	var length uint64
	for i, b := range p[:pktLineHeader] {
		digit := b - '0'
		if digit > 9 {
			if digit = (b | 0x20) - 'a'; digit > 5 {
				return 0, malformed(pktLineName, i, "a length has %q in it", b)
			}
			digit += 10
		}
		length = length<<4 | uint64(digit)
	}
	switch {
	case length == 3:
		return 0, malformed(pktLineName, 0, "a length of 3")
	case length > pktLineMost:
		return 0, tooLarge(pktLineName, 0, "line", length, pktLineMost)
	case length < 3:
		d.size, d.kind = pktLineHeader, PktKind(length+1)
	default:
		d.size, d.kind = length, PktData
	}
	return 0, nil
}

func (d *pktLineDecoder) End(p []byte) (Pkt, bool, error) {
	return Pkt{}, false, unfinished(pktLineName, p)
}
