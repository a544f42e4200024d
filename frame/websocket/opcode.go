package websocket

import "strconv"

// Opcode is the kind of a frame. RFC 6455, section 5.2.
type Opcode uint8

// The opcodes.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xa
)

// Control reports whether o is that of a control frame.
func (o Opcode) Control() bool { return o&0x8 != 0 }

// valid reports whether o is defined.
func (o Opcode) valid() bool { return o <= Binary || o >= Close && o <= Pong }

// String returns the constant's name, in lower case.
func (o Opcode) String() string {
	switch o {
	case Continuation:
		return "continuation"
	case Text:
		return "text"
	case Binary:
		return "binary"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	}
	return "opcode " + strconv.Itoa(int(o))
}
