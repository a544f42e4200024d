package websocket_test

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
)

const question = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

// parse parses one request.
func parse(t *testing.T, text string) *http.Request {
	r, _, need, err := http1.Requests{}.NewDecoder().Decode([]byte(text))
	require.NoError(t, err)
	require.Zero(t, need)
	return r.Request
}

func TestAnswer(t *testing.T) {
	replaced := func(old, other string) string { return strings.Replace(question, old, other, 1) }
	for _, k := range []struct {
		name, request string
		server        websocket.Server
		status        int
		agreed        websocket.Agreement
		extensions    string
	}{
		{name: "plain", request: question, status: 101},
		{name: "a subprotocol", request: question + "Sec-WebSocket-Protocol: chat, superchat\r\n", status: 101,
			server: websocket.Server{Subprotocols: []string{"x", "superchat", "chat"}}, agreed: websocket.Agreement{Subprotocol: "superchat"}},
		{name: "no subprotocol of ours", request: question + "Sec-WebSocket-Protocol: chat\r\n", server: websocket.Server{Subprotocols: []string{"x"}}, status: 101},
		{name: "compression is off", request: question + "Sec-WebSocket-Extensions: permessage-deflate\r\n", status: 101},
		{name: "extensions without grammar", request: question + "Sec-WebSocket-Extensions: a b\r\n", status: 400},
		{name: "same origin", request: question + "Origin: http://server.example.com\r\n", status: 101},
		{name: "other origin", request: question + "Origin: http://evil.example.com\r\n", status: 403},
		{name: "no origin", request: question + "Origin: null\r\n", status: 403},
		{name: "any origin", request: question + "Origin: null\r\n", server: websocket.Server{Origin: func(*http.Request) bool { return true }}, status: 101},
		{name: "POST", request: replaced("GET", "POST"), status: 405},
		{name: "no upgrade", request: replaced("Upgrade: websocket", "X: y"), status: 426},
		{name: "no connection", request: replaced("keep-alive, Upgrade", "keep-alive"), status: 426},
		{name: "an old version", request: replaced("Version: 13", "Version: 8"), status: 426},
		{name: "no version", request: replaced("Sec-WebSocket-Version: 13\r\n", ""), status: 426},
		{name: "a short key", request: replaced("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), status: 400},
		{name: "no key", request: replaced("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), status: 400},
		{name: "two keys", request: question + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", status: 400},
		{name: "tokens in any case", request: replaced("Upgrade: websocket\r\nConnection: keep-alive, Upgrade", "Upgrade: h2c ,\tWEBsocKet\r\nConnection: uPGRADE"), status: 101},
		{name: "a Kelvin sign in place of a k", request: replaced("Upgrade: websocket", "Upgrade: websoc\u212aet"), status: 426},
		{name: "a long s", request: replaced("Upgrade: websocket", "Upgrade: web\u017focket"), status: 426},
		{name: "origin in upper case", request: question + "Origin: http://SERVER.example.com\r\n", status: 101},
		{name: "a long s in the origin", request: question + "Origin: http://%C5%BFerver.example.com\r\n", status: 403},
		{name: "HTTP/1.0", request: replaced("HTTP/1.1", "HTTP/1.0"), status: 426},
	} {
		r, agreed, err := k.server.Answer(parse(t, k.request+"\r\n"))
		assert.Equal(t, k.status, r.StatusCode, k.name)
		assert.Equal(t, k.agreed, agreed, k.name)
		_, encodes := http1.Responses{}.Append(nil, r)
		assert.NoError(t, encodes, k.name)
		var refused *websocket.HandshakeError
		if k.status == 101 {
			assert.NoError(t, err, k.name)
			assert.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", r.Header.Get("Sec-WebSocket-Accept"), k.name)
			assert.Equal(t, k.agreed.Subprotocol, r.Header.Get("Sec-WebSocket-Protocol"), k.name)
			continue
		}
		require.ErrorAs(t, err, &refused, k.name)
		assert.Equal(t, k.status, refused.Status, k.name)
		if k.status == 426 {
			assert.Equal(t, "13", r.Header.Get("Sec-WebSocket-Version"), k.name)
		}
	}
}

// TestAcceptDeflate has offers, and what is agreed upon; "": nothing.
func TestAcceptDeflate(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for offer, want := range map[string]string{
		"permessage-deflate":                                                          agreed,
		"permessage-deflate; client_max_window_bits":                                  agreed,
		"permessage-deflate; client_max_window_bits=10":                               agreed,
		"permessage-deflate; client_max_window_bits=7":                                "",
		"permessage-deflate; client_max_window_bits=16":                               "",
		"permessage-deflate; server_max_window_bits=15":                               agreed + "; server_max_window_bits=15",
		`permessage-deflate; server_max_window_bits="15"`:                             agreed + "; server_max_window_bits=15",
		`permessage-deflate; server_max_window_bits = "1\5" ; client_max_window_bits`: agreed + "; server_max_window_bits=15",
		"permessage-deflate; server_max_window_bits=9":                                "",
		"permessage-deflate; server_max_window_bits":                                  "",
		"permessage-deflate; server_max_window_bits=015":                              "",
		"permessage-deflate; server_no_context_takeover":                              agreed,
		"permessage-deflate; server_no_context_takeover=1":                            "",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover":  "",
		"permessage-deflate; other":                                                   "",
		"permessage-deflate; server_max_window_bits=9, permessage-deflate":            agreed,
		"x-webkit-deflate-frame, permessage-deflate; client_max_window_bits":          agreed,
		" , permessage-deflate ,":                                                     agreed,
		"x":                                                                           "",
		"permessage-deflate" + distinctParams(10_000) + ", permessage-deflate":        agreed,
	} {
		server := websocket.Server{Compression: true}
		r, got, err := server.Answer(parse(t, question+"Sec-WebSocket-Extensions: "+offer+"\r\n\r\n"))
		require.NoError(t, err, offer)
		assert.Equal(t, want, r.Header.Get("Sec-WebSocket-Extensions"), offer)
		assert.Equal(t, want != "", got.Compression, offer)
	}
	for _, offer := range []string{"a b", ";", "a;", "a; b=", `a; b="`, `a; b="c d"`, "a=b", "(", "a; b=\"\"", `a; b="c\"`, `a; b="\`, `a; b="c" d`, `a; b="\""`, strings.Repeat("a; b=", 5000)} {
		_, _, err := (&websocket.Server{Compression: true}).Answer(parse(t, question+"Sec-WebSocket-Extensions: "+offer+"\r\n\r\n"))
		assert.Error(t, err, offer)
	}
}

// distinctParams are n parameters, none of them twice.
func distinctParams(n int) (all string) {
	for i := range n {
		all += "; " + strconv.Itoa(i)
	}
	return all
}

// handshake has a Client and a Server talk over bytes. change changes the response.
func handshake(t *testing.T, c *websocket.Client, s *websocket.Server, change func(*http1.Response)) (a, b websocket.Agreement, err error) {
	q, err := c.Request()
	require.NoError(t, err)
	wire, err := http1.Requests{}.Append(nil, q)
	require.NoError(t, err)
	answer, b, _ := s.Answer(parse(t, string(wire)))
	change(answer)
	wire, err = http1.Responses{}.Append(nil, answer)
	require.NoError(t, err)
	r, _, _, err := http1.Responses{Assume: "GET"}.NewDecoder().Decode(wire)
	require.NoError(t, err)
	a, err = c.Check(r)
	return a, b, err
}

func TestHandshake(t *testing.T) {
	u, err := url.Parse("ws://localhost:80/chat?x=y")
	require.NoError(t, err)
	for _, compression := range []bool{false, true} {
		c := &websocket.Client{URL: u, Subprotocols: []string{"b", "a"}, Compression: compression, Header: http.Header{"Origin": {"http://localhost"}}}
		s := &websocket.Server{Subprotocols: []string{"a", "b"}, Compression: true, Header: http.Header{"Set-Cookie": {"a=b"}}}
		a, b, err := handshake(t, c, s, func(*http1.Response) {})
		require.NoError(t, err)
		require.Equal(t, websocket.Agreement{Subprotocol: "a", Compression: compression}, a)
		require.Equal(t, a, b)
	}
	require.Equal(t, http.Header{"Set-Cookie": {"a=b"}}, (&websocket.Server{Header: http.Header{"Set-Cookie": {"a=b"}}}).Header)
}

func TestCheckRefuses(t *testing.T) {
	u, err := url.Parse("ws://localhost/")
	require.NoError(t, err)
	set := func(name, value string) func(*http1.Response) {
		return func(r *http1.Response) { r.Header.Set(name, value) }
	}
	const deflate = "permessage-deflate; server_no_context_takeover"
	for name, change := range map[string]func(*http1.Response){
		"200":                   func(r *http1.Response) { r.StatusCode = 200 },
		"another protocol":      set("Upgrade", "h2c"),
		"a Kelvin sign":         set("Upgrade", "websoc\u212aet"),
		"a long s":              set("Upgrade", "web\u017focket"),
		"no upgrade":            set("Connection", "keep-alive"),
		"another key":           set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
		"no key":                func(r *http1.Response) { r.Header.Del("Sec-WebSocket-Accept") },
		"a subprotocol":         set("Sec-WebSocket-Protocol", "other"),
		"an extension":          set("Sec-WebSocket-Extensions", "other"),
		"two extensions":        set("Sec-WebSocket-Extensions", deflate+", "+deflate),
		"takeover":              set("Sec-WebSocket-Extensions", "permessage-deflate"),
		"client_max_window":     set("Sec-WebSocket-Extensions", deflate+"; client_max_window_bits=10"),
		"a window of 16":        set("Sec-WebSocket-Extensions", deflate+"; server_max_window_bits=16"),
		"a parameter twice":     set("Sec-WebSocket-Extensions", deflate+"; server_no_context_takeover"),
		"an unknown parameter":  set("Sec-WebSocket-Extensions", deflate+"; x"),
		"extensions, malformed": set("Sec-WebSocket-Extensions", "a b"),
	} {
		c := &websocket.Client{URL: u, Subprotocols: []string{"chat"}, Compression: true}
		_, _, err := handshake(t, c, &websocket.Server{Compression: true}, change)
		var wrong *websocket.HandshakeError
		assert.True(t, errors.As(err, &wrong), "%s: %v", name, err)
	}
	c := &websocket.Client{URL: u, Compression: true}
	_, _, err = handshake(t, c, &websocket.Server{Compression: true}, set("Sec-WebSocket-Extensions", deflate+"; server_max_window_bits=9"))
	assert.NoError(t, err, "a small window of the server")
	_, _, err = handshake(t, &websocket.Client{URL: u}, &websocket.Server{}, set("Upgrade", "WebSocket"))
	assert.NoError(t, err, "a protocol in any case")
	_, _, err = handshake(t, &websocket.Client{URL: u}, &websocket.Server{}, set("Sec-WebSocket-Extensions", deflate))
	assert.Error(t, err, "an extension, not offered")
}

func TestRequestRefuses(t *testing.T) {
	for _, text := range []string{"http://a/", "ws:///", "ws://a/#b", "ws://u:p@a/"} {
		u, err := url.Parse(text)
		require.NoError(t, err)
		_, err = (&websocket.Client{URL: u}).Request()
		assert.Error(t, err, text)
	}
	_, err := (&websocket.Client{}).Request()
	require.Error(t, err)
	_, err = (&websocket.Client{URL: &url.URL{Scheme: "ws", Host: "a"}, Subprotocols: []string{"a b"}}).Request()
	require.Error(t, err)
	for text, host := range map[string]string{"ws://a:80/": "a", "wss://a:443/": "a", "ws://a:443/": "a:443", "ws://[::1]:80": "[::1]", "ws://a": "a"} {
		u, err := url.Parse(text)
		require.NoError(t, err)
		r, err := (&websocket.Client{URL: u}).Request()
		require.NoError(t, err)
		assert.Equal(t, host, r.Host, text)
	}
}
