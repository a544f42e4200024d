package http1

import (
	"bytes"
	"net/http"
	"net/url"
	"testing"

	"github.com/tandem-io/tandem/frame/frametest"
)

// TestRequestsContract holds requests to the contract of codecs.
func TestRequestsContract(t *testing.T) {
	frametest.Run(t, frametest.Subject[*Request]{
		Codec: Requests{},
		Message: func(raw []byte) *Request {
			m := &http.Request{Method: "POST", Host: "host", URL: &url.URL{Path: "/path"}, Header: http.Header{}}
			return &Request{Request: m, Content: append([]byte{}, raw...)}
		},
		Clone: func(m *Request) *Request {
			return &Request{Request: m.Clone(t.Context()), Content: bytes.Clone(m.Content)}
		},
		Equal: func(a, b *Request) bool {
			return a.Method == b.Method && a.URL.Path == b.URL.Path && bytes.Equal(a.Content, b.Content)
		},
	})
}
