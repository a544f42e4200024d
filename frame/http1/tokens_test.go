package http1

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTokens holds lists to what net/http finds in them, and both forms of a request to each other: a letter that only Unicode
// takes for one of ASCII is another one.
func TestTokens(t *testing.T) {
	for value, closes := range map[string]bool{
		"close": true, "CLOSE": true, "a, close": true, "close,": true, ",,\tclose ,a": true, "close\t": true,
		"": false, ",": false, "closed": false, "clos": false, "close a": false, "\"close\"": false, "clo\u017fe": false, "close;q=1": false,
	} {
		raw := "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + value + "\r\n\r\n"
		m, _, _, err := Requests{}.NewRequestDecoder().Decode([]byte(raw))
		require.NoError(t, err)
		assert.Equal(t, closes, m.Close, "Close, %q", value)
		assert.Equal(t, !closes, m.KeepAlive(), "KeepAlive of a Request, %q", value)
		r, _, _, err := RawRequests{}.NewRawRequestDecoder().Decode([]byte(raw))
		require.NoError(t, err)
		assert.Equal(t, !closes, r.KeepAlive(), "KeepAlive of a RawRequest, %q", value)
		answer := Response{Response: &http.Response{StatusCode: 200, Request: &http.Request{Method: "GET", ProtoMajor: 1, ProtoMinor: 1, Header: m.Header}}}
		assert.Equal(t, !closes, answer.KeepAlive(), "KeepAlive of the Response, %q", value)
	}
	d := Requests{}.NewRequestDecoder()
	_, _, _, err := d.Decode([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n"))
	require.Error(t, err)
	assert.Equal(t, http.StatusNotImplemented, d.Status(), "%v", err)
}
