package websocket

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-io/tandem/frame/http1"
)

// Client is the client's side of one opening handshake.
type Client struct {
	// URL has the scheme ws or wss, a host, and no fragment. RFC 6455, section 3.
	URL *url.URL

	// Subprotocols are those that the client speaks, the preferred one first. If the server chooses none, the Agreement has
	// none.
	Subprotocols []string

	// Compression is whether permessage-deflate is offered. Default false.
	Compression bool

	// Header has further fields of the request, such as Origin, Cookie and Authorization. Host in it replaces that of URL.
	Header http.Header

	key string
}

// Request returns the request, which has a new key each time.
func (c *Client) Request() (*http1.Request, error) {
	u := c.URL
	switch {
	case u == nil || u.Host == "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("websocket: handshake: %v is no URL with a host, and without a user and a fragment", u)
	case u.Scheme != "ws" && u.Scheme != "wss":
		return nil, fmt.Errorf("websocket: handshake: %v has no scheme ws or wss", u)
	}
	for _, name := range c.Subprotocols {
		if token, rest := cutToken(name); token != name || rest != "" || name == "" {
			return nil, fmt.Errorf("websocket: handshake: %q is no name of a subprotocol", name)
		}
	}
	h := c.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // never fails
	c.key = base64.StdEncoding.EncodeToString(nonce[:])
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", protocol)
	h.Set(versionField, version)
	h.Set(keyField, c.key)
	h.Del(protocolField)
	h.Del(extensionsField)
	if len(c.Subprotocols) > 0 {
		h.Set(protocolField, strings.Join(c.Subprotocols, ", "))
	}
	if c.Compression {
		h.Set(extensionsField, deflateWithoutAny)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Header: h, Host: h.Get("Host")}
	h.Del("Host")
	if r.Host == "" {
		r.Host = hostOf(u)
	}
	return &http1.Request{Request: r}, nil
}

// hostOf returns the host of a URL, with the port if that is not the scheme's own.
func hostOf(u *url.URL) string {
	if port, err := strconv.Atoi(u.Port()); err == nil && port == defaultPort(u.Scheme) {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return u.Host
}

func defaultPort(scheme string) int {
	if scheme == "wss" {
		return 443
	}
	return 80
}

// Check checks the response to the last Request. An error is a *HandshakeError, and the connection has to be closed. RFC
// 6455, section 4.1. Bytes of the server behind the response are frames.
func (c *Client) Check(r *http1.Response) (Agreement, error) {
	fail := func(format string, args ...any) (Agreement, error) {
		return Agreement{}, &HandshakeError{r.StatusCode, fmt.Sprintf(format, args...)}
	}
	chosen, accepts := r.Header[protocolField], r.Header[acceptField]
	switch {
	case r.StatusCode != http.StatusSwitchingProtocols:
		return fail("the server answered %d %s", r.StatusCode, http.StatusText(r.StatusCode))
	case !hasToken(r.Header, "Connection", "Upgrade") || !sameFold(r.Header.Get("Upgrade"), protocol):
		return fail("the server switched to another protocol than WebSocket")
	case len(accepts) != 1 || strings.Trim(accepts[0], " \t") != acceptOf(c.key):
		return fail("%s of the response does not fit the key", acceptField)
	case len(chosen) > 1 || len(chosen) == 1 && !slices.Contains(c.Subprotocols, chosen[0]):
		return fail("the server chose subprotocol %q, which was not offered", chosen)
	}
	agreed := Agreement{Subprotocol: r.Header.Get(protocolField)}
	extensions, sound := parseExtensions(r.Header[extensionsField])
	if !sound {
		return fail("%s that does not follow its grammar", extensionsField)
	}
	if len(extensions) > 0 {
		if !c.Compression {
			return fail("the server has agreed to extensions that were not offered")
		}
		if fault := checkDeflate(extensions); fault != "" {
			return fail("%s", fault)
		}
		agreed.Compression = true
	}
	return agreed, nil
}
