package websocket

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
)

// Names of header fields. RFC 6455, section 11.3.
const (
	keyField        = "Sec-Websocket-Key"
	acceptField     = "Sec-Websocket-Accept"
	versionField    = "Sec-Websocket-Version"
	protocolField   = "Sec-Websocket-Protocol"
	extensionsField = "Sec-Websocket-Extensions"

	version   = "13"
	protocol  = "websocket"
	nonceSize = 16
)

// Agreement is what both ends have agreed upon in the opening handshake.
type Agreement struct {
	Subprotocol string // "": none
	Compression bool   // permessage-deflate
}

// HandshakeError says why an opening handshake has failed.
type HandshakeError struct {
	// Status is that of the response: the one that a Server answers with, or the one that a Client got.
	Status int
	What   string
}

func (e *HandshakeError) Error() string { return "websocket: handshake: " + e.What }

// acceptOf returns the value of Sec-WebSocket-Accept for a key. RFC 6455, section 4.2.2.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// validKey reports whether a key is 16 bytes in base64. RFC 6455, section 4.1.
func validKey(key string) bool {
	p, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(p) == nonceSize && !strings.ContainsAny(key, "\r\n")
}

// sameFold reports whether s is ascii, which is of ASCII, whatever the case of its letters. That the lengths are compared keeps out
// letters that only Unicode takes for one of ASCII: for strings.EqualFold U+017F is an s, and U+212A a k. RFC 6455, section 2.1.
func sameFold(s, ascii string) bool { return len(s) == len(ascii) && strings.EqualFold(s, ascii) }

// hasToken reports whether a field that is a list has the token, in upper or lower case.
func hasToken(h http.Header, name, token string) bool {
	for _, list := range h[name] {
		for item := range strings.SplitSeq(list, ",") {
			if sameFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// IsUpgrade reports whether a request asks for WebSocket, be it rightly or not.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header, "Connection", "Upgrade") && hasToken(r.Header, "Upgrade", protocol)
}
