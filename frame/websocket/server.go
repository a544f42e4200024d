package websocket

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-io/tandem/frame/http1"
)

// Server is the server's side of the opening handshake. Its zero value accepts clients of the same origin, without a
// subprotocol and without compression. It is immutable; any goroutine may use it.
type Server struct {
	// Subprotocols are those that the server speaks, the preferred one first. If the client offers one of them, the first of
	// these is agreed upon; otherwise none is, which the client may refuse.
	Subprotocols []string

	// Compression is whether permessage-deflate is agreed upon, if the client offers it. Default false.
	Compression bool

	// Origin decides whether a request may come from where its Origin says, which browsers set. Default nil: a request
	// without an Origin may, and one whose Origin has the host of the request. RFC 6455, section 10.2.
	Origin func(r *http.Request) bool

	// Header has further fields of the response 101, such as Set-Cookie.
	Header http.Header
}

// Answer returns the response to a request. It is 101 if err is nil. Otherwise err is a *HandshakeError, and the response
// a refusal: 400, 403, 405 or 426. RFC 6455, section 4.2. Bytes of the client behind the request are frames after 101.
func (s *Server) Answer(r *http.Request) (*http1.Response, Agreement, error) {
	if refused := s.check(r); refused != nil {
		return refusal(r, refused), Agreement{}, refused
	}
	h := maps.Clone(s.Header)
	if h == nil {
		h = http.Header{}
	}
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", protocol)
	h.Set(acceptField, acceptOf(strings.Trim(r.Header.Get(keyField), " \t")))
	agreed := Agreement{Subprotocol: s.choose(r.Header)}
	h.Del(protocolField)
	h.Del(extensionsField)
	if agreed.Subprotocol != "" {
		h.Set(protocolField, agreed.Subprotocol)
	}
	offers, sound := parseExtensions(r.Header[extensionsField])
	if !sound {
		refused := &HandshakeError{http.StatusBadRequest, extensionsField + " that does not follow its grammar"}
		return refusal(r, refused), Agreement{}, refused
	}
	if s.Compression {
		if response := acceptDeflate(offers); response != "" {
			agreed.Compression = true
			h.Set(extensionsField, response)
		}
	}
	return &http1.Response{Response: &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: h, Request: r}}, agreed, nil
}

// check is RFC 6455, section 4.2.1.
func (s *Server) check(r *http.Request) *HandshakeError {
	bad := func(what string) *HandshakeError { return &HandshakeError{http.StatusBadRequest, what} }
	keys := r.Header[keyField]
	switch {
	case r.Method != http.MethodGet:
		return &HandshakeError{http.StatusMethodNotAllowed, "a request with method " + r.Method + "; it has to be GET"}
	case !IsUpgrade(r), !r.ProtoAtLeast(1, 1):
		return &HandshakeError{http.StatusUpgradeRequired, "a request that does not ask for an upgrade to websocket"}
	case len(r.Header[versionField]) != 1 || strings.Trim(r.Header[versionField][0], " \t") != version:
		return &HandshakeError{http.StatusUpgradeRequired, "a version of WebSocket other than " + version}
	case len(keys) != 1 || !validKey(strings.Trim(keys[0], " \t")):
		return bad("no " + keyField + " of 16 bytes in base64")
	case !s.mayCome(r):
		return &HandshakeError{http.StatusForbidden, "a request from another origin"}
	}
	return nil
}

// mayCome checks where a request comes from.
func (s *Server) mayCome(r *http.Request) bool {
	if s.Origin != nil {
		return s.Origin(r)
	}
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return true
	}
	u, err := url.Parse(origin[0])
	return len(origin) == 1 && err == nil && u.Host != "" && sameFold(u.Host, r.Host)
}

// choose returns the first of Subprotocols that the client offers, or "".
func (s *Server) choose(h http.Header) string {
	for _, mine := range s.Subprotocols {
		for _, list := range h[protocolField] {
			for theirs := range strings.SplitSeq(list, ",") {
				if strings.Trim(theirs, " \t") == mine {
					return mine
				}
			}
		}
	}
	return ""
}

// refusal returns the response to a request that is refused.
func refusal(r *http.Request, why *HandshakeError) *http1.Response {
	h := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	switch why.Status {
	case http.StatusUpgradeRequired: // RFC 6455, section 4.4; RFC 9110, section 15.5.22
		h.Set(versionField, version)
		h.Set("Upgrade", protocol)
		h.Set("Connection", "Upgrade")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodGet)
	}
	return &http1.Response{
		Response: &http.Response{StatusCode: why.Status, Header: h, Request: r},
		Content:  []byte(http.StatusText(why.Status) + ": " + why.What + "\n"),
	}
}
