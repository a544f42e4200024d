package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"syscall"
)

// What is sent, as package documentation says. Nothing here knows a socket.

// kind says what a message is.
type kind uint8

const (
	kindHello kind = iota + 1
	kindListener
	kindConn
	kindState
	kindTaken
	kindRefused
	kindYours
	kindKept
	kindEnd
)

const (
	flagUnlink = 1 // of a listener
	flagShut   = 1 // of a connection
	flagSent   = 2
)

const (
	headerSize   = 16
	magic        = "tandemHO"
	helloSize    = len(magic) + 12
	maxHello     = 256 // with what later versions add
	maxText      = 1 << 10
	maxName      = 255
	maxFiles     = 253 // SCM_MAX_FD, unix(7)
	version      = 1
	window       = 32 // items on their way
	fieldsOfConn = 4
)

// defaultMessage is the default of Options.MaxMessage: what a stream may have queued and unread, by default, and some state.
const defaultMessage = 32 << 20

// ErrProtocol is the error of a conversation in which the other process has said what it may not say.
var ErrProtocol = errors.New("handover: the other process breaks the protocol")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// header is the first part of a message.
type header struct {
	kind   kind
	flags  uint8
	files  int
	length int
	number uint64
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	b[0], b[1], b[2] = byte(h.kind), h.flags, byte(h.files)
	binary.BigEndian.PutUint32(b[4:], uint32(h.length))
	binary.BigEndian.PutUint64(b[8:], h.number)
	return b
}

// decodeHeader checks all that can be checked without the payload, of which there may be limit bytes.
func decodeHeader(b []byte, limit int) (header, error) {
	if len(b) != headerSize {
		return header{}, malformed("a header of %d bytes", len(b))
	}
	length := binary.BigEndian.Uint32(b[4:])
	h := header{kind: kind(b[0]), flags: b[1], files: int(b[2]), number: binary.BigEndian.Uint64(b[8:])}
	least, most, flags, files := 0, 0, uint8(0), [2]int{}
	switch h.kind {
	case kindHello:
		least, most = helloSize, maxHello
	case kindListener:
		least, most, flags, files = 8, 8+2*maxName, flagUnlink, [2]int{1, maxFiles}
	case kindConn:
		least, most, flags, files = 4*fieldsOfConn, limit, flagShut|flagSent, [2]int{1, 1}
	case kindState:
		least, most = 8, limit
	case kindRefused:
		least, most = 4, 4+maxText
	case kindTaken, kindYours, kindKept, kindEnd:
	default:
		return header{}, malformed("a message of kind %d", h.kind)
	}
	switch numbered := h.kind != kindHello && h.kind != kindEnd; {
	case b[3] != 0 || h.flags&^flags != 0:
		return header{}, malformed("bits that mean nothing in a message of kind %d", h.kind)
	case h.files < files[0] || h.files > files[1]:
		return header{}, malformed("%d descriptors in a message of kind %d", h.files, h.kind)
	case uint64(length) < uint64(least) || uint64(length) > uint64(min(most, math.MaxInt32)):
		return header{}, malformed("%d bytes in a message of kind %d", length, h.kind)
	case numbered == (h.number == 0):
		return header{}, malformed("number %d of a message of kind %d", h.number, h.kind)
	}
	h.length = int(length)
	return h, nil
}

// appendFields appends the fields of a payload.
func appendFields(b []byte, fields ...[]byte) []byte {
	for _, f := range fields {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// decodeFields splits a payload into exactly len(into) fields, which share its memory.
func decodeFields(b []byte, into ...*[]byte) error {
	for _, f := range into {
		if len(b) < 4 {
			return malformed("a field is missing")
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(n) > uint64(len(b)) {
			return malformed("a field of %d bytes in %d", n, len(b))
		}
		*f, b = b[:n:n], b[n:]
	}
	if len(b) > 0 {
		return malformed("%d bytes behind the last field", len(b))
	}
	return nil
}

// hello is what both begin with.
type hello struct {
	lowest, highest uint16
	items, bytes    uint32 // that may be on their way; 0 from the old process
}

func (h hello) encode() []byte {
	b := binary.BigEndian.AppendUint16([]byte(magic), h.lowest)
	b = binary.BigEndian.AppendUint16(b, h.highest)
	b = binary.BigEndian.AppendUint32(b, h.items)
	return binary.BigEndian.AppendUint32(b, h.bytes)
}

func decodeHello(b []byte) (hello, error) {
	if len(b) < helloSize || string(b[:len(magic)]) != magic {
		return hello{}, malformed("it is no hand-over: the greeting is %.32q", b)
	}
	b = b[len(magic):]
	h := hello{
		lowest: binary.BigEndian.Uint16(b), highest: binary.BigEndian.Uint16(b[2:]),
		items: binary.BigEndian.Uint32(b[4:]), bytes: binary.BigEndian.Uint32(b[8:]),
	}
	if h.lowest > h.highest {
		return hello{}, malformed("versions %d to %d", h.lowest, h.highest)
	}
	return h, nil
}

// VersionError is the error of two processes that speak no common version of the protocol.
type VersionError struct {
	Lowest, Highest uint16 // that the other process speaks
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("handover: the other process speaks versions %d to %d, and this one version %d", e.Lowest, e.Highest, version)
}

// agree checks that a version is common.
func (h hello) agree() error {
	if h.lowest > version || h.highest < version {
		return &VersionError{h.lowest, h.highest}
	}
	return nil
}

// RefusedError is the error of an item that the new process cannot take. The old process goes on with it.
type RefusedError struct {
	Errno syscall.Errno // why, such as syscall.EMFILE
	Text  string        // in the other process's words
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("handover: the new process refuses: %s (%v)", e.Text, e.Errno)
}

// Unwrap returns the errno.
func (e *RefusedError) Unwrap() error { return e.Errno }

func (e *RefusedError) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(e.Errno))
	return append(b, e.Text[:min(len(e.Text), maxText)]...)
}

func decodeRefused(b []byte) (*RefusedError, error) {
	if len(b) < 4 {
		return nil, malformed("a refusal of %d bytes", len(b))
	}
	return &RefusedError{Errno: syscall.Errno(binary.BigEndian.Uint32(b)), Text: string(b[4:])}, nil
}

// decodeItem is what a message of one of the three kinds brings. Its descriptors come later. The item keeps the payload.
func decodeItem(h header, payload []byte) (Item, error) {
	var name, second, unread, unsent []byte
	var err error
	switch h.kind {
	case kindListener, kindState:
		err = decodeFields(payload, &name, &second)
	case kindConn:
		err = decodeFields(payload, &name, &second, &unread, &unsent)
	default:
		err = malformed("a message of kind %d is no item", h.kind)
	}
	switch {
	case err != nil:
		return nil, err
	case len(name) > maxName:
		return nil, malformed("a name of %d bytes", len(name))
	}
	switch h.kind {
	case kindListener:
		switch string(second) {
		case "tcp", "unix", "vsock":
		default:
			return nil, malformed("the network %.32q", second)
		}
		return &Listener{Name: string(name), Network: string(second), Unlink: h.flags&flagUnlink != 0}, nil
	case kindConn:
		return newConn(string(name), second, unread, unsent, h.flags), nil
	}
	return &State{Name: string(name), Data: second}, nil
}
