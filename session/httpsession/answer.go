package httpsession

import (
	"maps"
	"net/http"
	"time"

	"github.com/tandem-io/tandem/frame/http1"
)

// answer is a ResponseWriter that keeps what is written.
type answer struct {
	header  http.Header // h's
	sent    http.Header // as it was when the status was decided; nil: it has not been
	status  int
	content []byte
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. Interim responses are not sent: the request is here in whole.
func (a *answer) WriteHeader(status int) {
	if a.sent == nil && status >= 200 {
		a.status, a.sent = status, maps.Clone(a.header)
	}
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if !allowsContent(a.status) {
		return 0, http.ErrBodyNotAllowed
	}
	a.content = append(a.content, p...)
	return len(p), nil
}

func allowsContent(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// response is what was written, as the answer to r. What net/http's server adds to a response is added here.
func (a *answer) response(r *http.Request) *http1.Response {
	a.WriteHeader(http.StatusOK)
	h := a.sent
	h.Del("Content-Length") // it is that of the content
	h.Del("Transfer-Encoding")
	if _, set := h["Content-Type"]; !set && len(a.content) > 0 {
		h.Set("Content-Type", http.DetectContentType(a.content))
	}
	if _, set := h["Date"]; !set {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return &http1.Response{Response: &http.Response{StatusCode: a.status, Header: h, Request: r}, Content: a.content}
}
