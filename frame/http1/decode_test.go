package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requestStreams are what clients send. Every message in them is one that net/http takes too.
var requestStreams = map[string]string{
	"get":         "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
	"empty host":  "GET / HTTP/1.1\r\nHost:\r\n\r\n",
	"many fields": "GET /a?b=c%20d HTTP/1.1\r\nHost: example.com:8080\r\nAccept: a\r\nX-A:\t 1 \r\nx-a: 2\r\nX-A:\r\nCookie: \xc3\xa9\r\n\r\n",
	"length":      "POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
	"length 0":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
	"chunks": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n" +
		"5\r\nhello\r\n1;a\r\n,\r\n00006; b = c ;d=\"e\\\";f\"\r\n world\r\n0;last\r\n\r\n",
	"one chunk": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"no chunk":  "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"trailer": "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum, X-Never\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nX-More: 3\r\n\r\n",
	"continue":  "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
	"old":       "GET / HTTP/1.0\r\n\r\n",
	"old stays": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPOST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na",
	"pipelined": "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n",
	"close, and more":    "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\x00",
	"connect, and more":  "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n\x16\x03\x01",
	"absolute":           "GET http://a.example:81/x HTTP/1.1\r\nHost: b\r\n\r\n",
	"asterisk":           "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"ipv6":               "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
	"an empty line":      "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
	"colons in a value":  "GET / HTTP/1.1\r\nHost: a\r\nX: a: b:\r\n\r\n",
	"upgrade is asked":   "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"unknown method":     "a!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n",
	"a body behind GET":  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
	"content like heads": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n0\r\n\r\n\r\n",
}

// responseStream is what a server sends to requests with methods, and whether it closes.
type responseStream struct {
	methods string
	raw     string
	closes  bool
}

var responseStreams = map[string]responseStream{
	"length":              {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false},
	"length 0":            {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
	"no reason":           {"GET", "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", false},
	"no space, no reason": {"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false},
	"reason":              {"GET", "HTTP/1.1 404 Nicht  gefunden \xe4\r\nContent-Length: 0\r\n\r\n", false},
	"until close":         {"GET", "HTTP/1.1 200 OK\r\nServer: x\r\n\r\nas long as it lasts\r\n\r\n", true},
	"until close, empty":  {"GET", "HTTP/1.1 200 OK\r\n\r\n", true},
	"old, until close":    {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc", true},
	"old stays":           {"GET GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\naHTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nb", true},
	"chunks":              {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", false},
	"trailer": {"GET", "HTTP/1.1 200 OK\r\nTrailer: x-a\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"5;x=\"\t\"\r\nhello\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n", false},
	"head":                {"HEAD GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", false},
	"head, chunks":        {"HEAD HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false},
	"head, a long answer": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", false},
	"204, 304": {"GET GET GET", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"a\"\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", false},
	"204 with length 0":  {"GET GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\nHTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	"interim":            {"POST GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok" + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", false},
	"close, and more":    {"GET GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", true},
	"close of 204":       {"GET GET", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\njunk", true},
	"switched, and more": {"GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00HTTP", true},
	"connect refused":    {"CONNECT GET", "HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb", false},
	"same names": {"GET", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nVary: a\r\nset-cookie: b=2\r\nVARY: b\r\nContent-Length: 0\r\n\r\n",
		false},
	"pipelined": {"GET HEAD GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
}

// sameInPieces drives new decoders with raw cut in every way in two, and in pieces of all sizes.
func sameInPieces(t *testing.T, raw string, run func(pieces [][]byte, patient bool) outcome) outcome {
	t.Helper()
	want := run(whole(raw), false)
	check := func(got outcome, how string, at int) {
		t.Helper()
		require.Equal(t, want, got, "%s %d", how, at)
	}
	for _, patient := range []bool{false, true} {
		for i := range len(raw) + 1 {
			check(run([][]byte{[]byte(raw[:i]), []byte(raw[i:])}, patient), "cut at", i)
		}
		for size := 1; size < len(raw) && size < 20; size++ {
			check(run(cut(raw, size), patient), "pieces of", size)
		}
	}
	return want
}

func TestRequests(t *testing.T) {
	for name, raw := range requestStreams {
		t.Run(name, func(t *testing.T) {
			got := sameInPieces(t, raw, func(pieces [][]byte, patient bool) outcome {
				return drive(t, requests(), pieces, patient, true, showRequest)
			})
			require.Empty(t, got.Err)
			require.NotEmpty(t, got.Messages)
			start := 0
			for i, m := range got.Messages {
				one := strings.TrimPrefix(raw[start:got.Ends[i]], crlf)
				want, err := oracleRequest(one)
				assert.NoError(t, err)
				assert.Equal(t, want, m)
				start = got.Ends[i]
			}
		})
	}
}

func TestResponses(t *testing.T) {
	for name, s := range responseStreams {
		t.Run(name, func(t *testing.T) {
			got := sameInPieces(t, s.raw, func(pieces [][]byte, patient bool) outcome {
				return drive(t, responses(s.methods), pieces, patient, s.closes, showResponse)
			})
			require.Empty(t, got.Err)
			require.NotEmpty(t, got.Messages)
			start, methods := 0, strings.Fields(s.methods)
			for i, m := range got.Messages {
				want, err := oracleResponse(s.raw[start:got.Ends[i]], methods[0])
				assert.NoError(t, err)
				assert.Equal(t, want, m)
				if !strings.HasPrefix(m, "HTTP/1.1 1") {
					methods = methods[1:]
				}
				start = got.Ends[i]
			}
		})
	}
}

// TestNumberOfMessages is against streams of which both readers might see too few.
func TestNumberOfMessages(t *testing.T) {
	for name, want := range map[string]int{
		"pipelined": 4, "old stays": 2, "close, and more": 1, "connect, and more": 1, "an empty line": 2,
		"content like heads": 1, "absolute": 1,
	} {
		assert.Equal(t, want, len(drive(t, requests(), whole(requestStreams[name]), false, true, showRequest).Messages), "%s", name)
	}
	for name, want := range map[string]int{
		"pipelined": 3, "204, 304": 3, "interim": 4, "close, and more": 1, "switched, and more": 1, "head, chunks": 2,
		"connect refused": 2, "until close": 1,
	} {
		s := responseStreams[name]
		assert.Equal(t, want, len(drive(t, responses(s.methods), whole(s.raw), false, s.closes, showResponse).Messages), "%s", name)
	}
}

// TestNeed feeds exactly the bytes that are missing: a decoder that asked for too many would run into the next message.
// And it asks new decoders everywhere.
func TestNeed(t *testing.T) {
	for name, raw := range requestStreams {
		t.Run(name, func(t *testing.T) {
			calls, end := exact(t, requests(), raw)
			first := drive(t, requests(), whole(raw), false, true, showRequest).Ends[0]
			assert.Equal(t, first, end)
			assert.LessOrEqual(t, calls, end+1)
			for i := range first {
				_, _, need, err := requests().Decode([]byte(raw[:i]))
				assert.NoError(t, err)
				assert.GreaterOrEqual(t, need, 1)
				assert.LessOrEqual(t, need, first-i)
			}
		})
	}
	long := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + strings.Repeat("x", 1000) + "\r\n0\r\n\r\n"
	calls, end := exact(t, responses("GET"), long)
	assert.Equal(t, len(long), end)
	assert.LessOrEqual(t, calls, 60)
}

type decodes[M any] interface {
	Decode(p []byte) (m M, n, need int, err error)
}

// exact gives a decoder as many bytes as it asks for, until there is a message.
func exact[M any](t *testing.T, d decodes[M], raw string) (calls, end int) {
	t.Helper()
	start := 0
	for {
		_, n, need, err := d.Decode([]byte(raw[start:end]))
		calls++
		require.NoError(t, err)
		start += n
		if need == 0 {
			return calls, end
		}
		end += need
		require.LessOrEqual(t, end, len(raw), "%d bytes missing at %d", need, end-need)
	}
}
