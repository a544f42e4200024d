package http1

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatHasToBeSuffered decodes what looks wrong and is right, as the RFCs have it.
func TestWhatHasToBeSuffered(t *testing.T) {
	for name, raw := range map[string]string{
		"a higher minor version":           "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
		"a much higher one":                "GET / HTTP/1.9\r\nHost: a\r\n\r\n",
		"space before a chunk's extension": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 ;a=b\r\nhello\r\n0\t;c\r\n\r\n",
	} {
		m, n, need, err := requests().Decode([]byte(raw))
		require.NoError(t, err, name)
		require.Zero(t, need, name)
		assert.Equal(t, len(raw), n, name)
		assert.True(t, m.KeepAlive(), name)
	}
}

// TestBareResponsesEndWithTheirHead reads responses that cannot have content and say that they have some: RFC 9112, 6.3.
func TestBareResponsesEndWithTheirHead(t *testing.T) {
	for _, framing := range []string{"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"} {
		raw := "HTTP/1.1 204 No Content\r\n" + framing + "\r\n"
		d := Responses{Assume: http.MethodGet}.NewResponseDecoder()
		m, n, need, err := d.Decode([]byte(raw + "hello"))
		require.NoError(t, err, framing)
		require.Zero(t, need, framing)
		assert.Equal(t, len(raw), n, framing)
		assert.Empty(t, m.Content, framing)
		assert.False(t, m.KeepAlive(), "what follows may be the content that it cannot have: %s", framing)
		n, _, err = decodeRest(d, "hello")
		assert.NoError(t, err, framing)
		assert.Equal(t, len("hello"), n, "what follows is thrown away: %s", framing)

		d = Responses{Assume: http.MethodGet}.NewResponseDecoder()
		interim := "HTTP/1.1 103 Early Hints\r\n" + framing + "\r\n"
		m, n, _, err = d.Decode([]byte(interim + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		require.NoError(t, err, framing)
		assert.Equal(t, len(interim), n, framing)
		assert.True(t, m.Interim() && m.KeepAlive(), framing)
	}
}

func decodeRest(d *ResponseDecoder, p string) (n, need int, err error) {
	_, n, need, err = d.Decode([]byte(p))
	return n, need, err
}

// TestAppendRefusesTargets makes requests whose target the decoder would refuse.
func TestAppendRefusesTargets(t *testing.T) {
	for _, target := range []string{
		"a?http://x/", "*http://x/", "%41http://x/", "/%", "/%zz", "*", "a", "http://", "http://u@a/", "http:///x", "://a", "/a b", "a:1",
	} {
		_, err := Requests{}.Append(nil, &Request{Request: &http.Request{Method: "GET", Host: "a", RequestURI: target}})
		assert.Error(t, err, target)
	}
	for method, target := range map[string]string{"GET": "/a?b=%41", "OPTIONS": "*", "HEAD": "http://a:1/x", "CONNECT": "a:1"} {
		p, err := Requests{}.Append(nil, &Request{Request: &http.Request{Method: method, Host: "a:1", RequestURI: target}})
		require.NoError(t, err, target)
		m, _, _, err := requests().Decode(p)
		require.NoError(t, err, target)
		assert.Equal(t, target, m.RequestURI)
	}
}

// TestPromptOnce asks for what a client waits for.
func TestPromptOnce(t *testing.T) {
	d := requests()
	const head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	assert.Empty(t, d.Prompt(), "before anything has come")
	_, n, need, err := d.Decode([]byte(head))
	require.NoError(t, err)
	require.Equal(t, []int{len(head), 2}, []int{n, need})
	assert.Equal(t, "HTTP/1.1 100 Continue\r\n\r\n", string(d.Prompt()))
	assert.Empty(t, d.Prompt(), "a second time")
	_, _, _, err = d.Decode([]byte("hi"))
	require.NoError(t, err)
	assert.Empty(t, d.Prompt(), "behind the message")
}
