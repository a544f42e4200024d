package http1

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// showRaw shows a RawRequest as showRequest does the same one, and holds its methods to that.
func showRaw(t testing.TB) func(*RawRequest) string {
	return func(r *RawRequest) string {
		m, err := r.Request()
		require.NoError(t, err)
		assert.Equal(t, m.Method, string(r.Method))
		assert.Equal(t, m.RequestURI, string(r.Target))
		assert.Equal(t, min(m.ProtoMinor, 1), r.Minor)
		assert.Equal(t, m.KeepAlive(), r.KeepAlive() && !m.Close, "%q", m.Header)
		assert.Equal(t, !m.Close, r.KeepAlive(), "%q", m.Header)
		assert.Equal(t, m.ExpectsContinue(), r.ExpectsContinue())
		assert.Equal(t, len(m.Header["Expect"]) > 0, r.Expects())
		path, err := url.PathUnescape(string(r.Path()))
		require.NoError(t, err)
		assert.Equal(t, m.URL.Path, path)
		assert.Equal(t, m.URL.RawQuery, string(r.Query()))
		for name, values := range m.Header {
			if name != "Cache-Control" { // net/http adds that for Pragma
				assert.Equal(t, values[0], string(r.Get(strings.ToLower(name))), name)
			}
		}
		assert.Nil(t, r.Get("X-There-Is-None"))
		assert.Equal(t, m.Host, string(r.Host()))
		lines := 0
		for name, value := range r.Fields() {
			assert.True(t, isToken(name), "%q", name)
			assert.True(t, isValue(value), "%q", value)
			lines++
		}
		assert.GreaterOrEqual(t, lines, len(m.Header))
		return showRequest(m)
	}
}

// sameRaw wants of a RawRequestDecoder what a RequestDecoder makes of the same bytes.
func sameRaw(t testing.TB, l Limits, raw string, pieces [][]byte) {
	want := drive(t, Requests{Limits: l}.NewRequestDecoder(), whole(raw), false, true, showRequest)
	for _, patient := range []bool{false, true} {
		got := drive(t, RawRequests{Limits: l}.NewRawRequestDecoder(), pieces, patient, true, showRaw(t))
		require.Equal(t, want, got, "%q", raw)
	}
}

func TestRawRequests(t *testing.T) {
	each := func(name, raw string) {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(raw)} {
				sameRaw(t, Limits{}, raw, cut(raw, size))
				sameRaw(t, fuzzLimits, raw, cut(raw, size))
			}
		})
	}
	for name, raw := range requestStreams {
		each(name, raw)
	}
	for i, trick := range tricks {
		each(fmt.Sprint("trick ", i), trick.raw)
	}
	for i, target := range []string{"/%", "/%4", "/%zz", "/%41?%", "/?%zz", "/a?", "/??", "//", "//a/b?c", "/a:b", "/[", "/\"<>", "/a;b=c", "a://b/c", "*", "/a%00"} {
		each(fmt.Sprint("target ", i), "GET "+target+" HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n")
		each(fmt.Sprint("plain target ", i), "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	for i, fields := range []string{
		"connection: Keep-Alive, X", "Connection: \u212aeep-alive", "Connection: close,", "Connection: ,close\t, x", "Expect: x, 100-Continue",
		"Trailer: a", "Trailer: Content-Length", "Accept: a\r\naCCEPT: b", "X-a: \t\x80", "Cache-Control: a\r\nPragma: no-cache",
		"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\nG: 7\r\nH: 8\r\nI: 9\r\nJ: 10", "X: " + strings.Repeat("a", mostText),
	} {
		for _, version := range []string{"1.0", "1.1", "1.2"} {
			each(fmt.Sprint("fields ", i, version), "GET / HTTP/"+version+"\r\nHost: a\r\n"+fields+"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}
	}
}

func FuzzRawRequest(f *testing.F) {
	for _, raw := range requestStreams {
		f.Add(raw, "\x01\x20\x01")
	}
	for _, trick := range tricks {
		f.Add(trick.raw, "\x30\x01\x01\x01")
	}
	f.Fuzz(func(t *testing.T, raw, cuts string) {
		sameRaw(t, Limits{}, raw, inPieces(raw, cuts))
		sameRaw(t, fuzzLimits, raw, inPieces(raw, cuts))
	})
}

// TestValues compares the two ways to look for bytes that a value must not have.
func TestValues(t *testing.T) {
	for at := range 19 {
		for c := range 256 {
			for _, around := range []byte{'a', '\t', 0xff, ' ', 0x7e, 0x80} {
				s := []byte(strings.Repeat(string([]byte{around}), 19))
				s[at] = byte(c)
				require.Equal(t, indexInvalid(s, valueByte) < 0, isValue(s), "%q", s)
			}
		}
	}
}

// TestRawRequestsAllocateNothing also holds for a head whose content comes later.
func TestRawRequestsAllocateNothing(t *testing.T) {
	p, d := []byte(benchRequest), RawRequests{}.NewRawRequestDecoder()
	q := []byte("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		m, _, need, err := d.Decode(p)
		require.True(t, err == nil && need == 0 && string(m.Get("accept")) == "application/json")
		_, n, need, err := d.Decode(q[:len(q)-2])
		require.True(t, err == nil && need == 2)
		m, _, need, err = d.Decode(q[n:])
		require.True(t, err == nil && need == 0 && string(m.Content) == "hello" && string(m.Target) == "/a")
	}))
}
