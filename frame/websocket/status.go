package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/tandem-io/tandem/frame"
)

// StatusCode says why a connection is closed. RFC 6455, section 7.4.
type StatusCode uint16

// Status codes of RFC 6455, section 7.4.1, and of the registry that it founds.
const (
	StatusNormalClosure   StatusCode = 1000
	StatusGoingAway       StatusCode = 1001
	StatusProtocolError   StatusCode = 1002
	StatusUnsupportedData StatusCode = 1003
	StatusNoStatus        StatusCode = 1005 // a Close without a code; never sent
	StatusAbnormal        StatusCode = 1006 // no Close at all; never sent
	StatusInvalidData     StatusCode = 1007
	StatusPolicyViolation StatusCode = 1008
	StatusTooLarge        StatusCode = 1009
	StatusMissingExt      StatusCode = 1010
	StatusInternalError   StatusCode = 1011
	StatusServiceRestart  StatusCode = 1012
	StatusTryAgainLater   StatusCode = 1013
	StatusBadGateway      StatusCode = 1014
)

// MostReason is the size of the longest reason of a Close, in bytes.
const MostReason = mostControl - 2

// ErrInvalidData means that a payload contradicts the type of its message: it is no UTF-8, or cannot be inflated. It is
// frame.ErrMalformed, too.
var ErrInvalidData = fmt.Errorf("invalid payload data: %w", frame.ErrMalformed)

// CloseError is the Close that a peer has sent.
type CloseError struct {
	Code   StatusCode // StatusNoStatus if the peer gave none
	Reason string
}

func (e *CloseError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("websocket: closed with status %d", e.Code)
	}
	return fmt.Sprintf("websocket: closed with status %d: %q", e.Code, e.Reason)
}

// CodeOf returns the code with which a connection is closed because of err: of an error of a Decoder or an Assembler 1002,
// 1007 or 1009, of a *CloseError its own. Any other error ends a connection without a Close: 1006.
func CodeOf(err error) StatusCode {
	var closed *CloseError
	switch {
	case errors.As(err, &closed):
		return closed.Code
	case errors.Is(err, ErrInvalidData):
		return StatusInvalidData
	case errors.Is(err, frame.ErrTooLarge):
		return StatusTooLarge
	case errors.Is(err, frame.ErrMalformed):
		return StatusProtocolError
	}
	return StatusAbnormal
}

// AppendClose appends the payload of a Close to dst. StatusNoStatus without a reason is an empty payload. A code that must
// not be sent, and a reason that is no UTF-8 or longer than MostReason, are ErrMalformed.
func AppendClose(dst []byte, code StatusCode, reason string) ([]byte, error) {
	switch {
	case code == StatusNoStatus && reason == "":
		return dst, nil
	case !mayBeSent(code):
		return dst, malformed(0, "status code %d, which a Close must not have", code)
	case !utf8.ValidString(reason):
		return dst, malformed(0, "a reason that is no UTF-8")
	case len(reason) > MostReason:
		return dst, malformed(0, "a reason of %d bytes; the most are %d", len(reason), MostReason)
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), reason...), nil
}

// mayBeSent reports whether a Close may have the code. 1012 to 1014 were registered after RFC 6455.
func mayBeSent(code StatusCode) bool {
	return code <= 4999 && (code >= StatusServiceRestart && code <= StatusBadGateway || ws.CheckCloseFrameData(ws.StatusCode(code), "") == nil)
}

// ParseClose parses the payload of a Close.
func ParseClose(p []byte) (*CloseError, error) {
	if len(p) == 0 {
		return &CloseError{Code: StatusNoStatus}, nil
	}
	if len(p) == 1 {
		return nil, malformed(0, "a Close with half a status code")
	}
	code, reason := StatusCode(binary.BigEndian.Uint16(p)), p[2:]
	if !mayBeSent(code) {
		return nil, malformed(0, "a Close with status code %d", code)
	}
	if !utf8.Valid(reason) {
		return nil, invalid(2, "a reason that is no UTF-8")
	}
	return &CloseError{Code: code, Reason: string(reason)}, nil
}
