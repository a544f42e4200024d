package httpsession

import (
	"maps"
	"net/http"
	"strings"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// partBytes is how much content of a response in parts is gathered before a part of it is sent without a Flush, in bytes.
const partBytes = 4 << 10

// Flush implements http.Flusher. What was written so far is sent, and the response comes in parts from then on.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush with its error, for http.ResponseController. It is session.ErrWriteBufferFull if the client does not
// read and the queue has no room; the content that was written is kept for the next Flush.
func (a *answer) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.hijacked:
		return http.ErrHijacked
	case a.returned:
		return errReturned
	}
	a.writeHeader(http.StatusOK)
	if a.parts == nil {
		a.parts = &going{}
	}
	if a.parts.head == nil || len(a.content) > 0 {
		if err := a.emit(); err != nil {
			return err
		}
	}
	return a.stream.Flush()
}

// emit sends what was written, behind the head if that was not sent before. mu is held.
func (a *answer) emit() error {
	part, head := http1.Middle, a.parts.head
	if head == nil {
		part, head = http1.First, a.begin()
	}
	if err := a.write(head, part); err != nil {
		return err
	}
	if part == http1.First {
		a.expects = a.expects && a.live.wantsContent() // otherwise it learns from this response that nobody waits for its content
	}
	a.parts.head = head
	a.parts.went += int64(len(a.content))
	a.content = a.content[:0]
	return nil
}

// went returns how many bytes of content were sent. mu is held.
func (a *answer) went() int64 {
	if a.parts == nil {
		return 0
	}
	return a.parts.went
}

// write sends one part of the response. mu is held.
func (a *answer) write(head *http1.Response, part http1.Part) error {
	head.Part, head.Content = part, a.content
	if a.asked.Method == http.MethodHead {
		head.Content = nil
	}
	err := session.WriteFrame(a.stream, http1.Responses{Limits: a.conn.of.answers}, head)
	head.Content = nil
	return err
}

// begin returns the head of a response in parts. mu is held.
func (a *answer) begin() *http1.Response {
	h := a.sent
	a.complete(h, backend.SystemClock{}.Now())
	if a.length < 0 || !allowsContent(a.status) && a.status != http.StatusNotModified {
		h.Del("Content-Length")
		a.length = -1
	}
	r := &http1.Response{Response: &http.Response{StatusCode: a.status, Header: maps.Clone(h), Request: a.asked}}
	r.Header.Del("Trailer") // Append writes it
	for name := range r.Header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(r.Header, name)
		}
	}
	r.ContentLength = a.length
	r.Close = a.last()
	if r.Trailer = a.announced(); a.length >= 0 || a.asked.Method == http.MethodHead {
		r.Trailer = nil
	}
	return r
}

// last reports whether the connection ends behind a response that begins now: because the rest of the request is not worth
// waiting for, or because the Transport shuts down. mu is held, or nobody else uses the answer any longer.
func (a *answer) last() bool {
	if a.final || !a.early || a.live.wantsContent() && !a.returned {
		return a.final
	}
	return a.expects || a.asked.ContentLength > mostDropped
}

// announced returns the fields that the trailer will have, without their values.
func (a *answer) announced() http.Header {
	if !a.asked.ProtoAtLeast(1, 1) || !allowsContent(a.status) {
		return nil
	}
	trailer := http.Header{}
	for _, list := range a.sent["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" && allowedTrailer(name) {
				trailer[name] = nil
			}
		}
	}
	return trailer
}

// finishParts sends the end of a response in parts. mu is held.
func (a *answer) finishParts() error {
	head := a.parts.head
	if a.length > a.parts.went+int64(len(a.content)) && allowsContent(a.status) && a.asked.Method != http.MethodHead {
		return errTooShort
	}
	if trailer := a.trailer(); a.length < 0 && a.asked.Method != http.MethodHead {
		head.Trailer = trailer
	}
	return a.write(head, http1.Last)
}

// interim sends an interim response. mu is held.
func (a *answer) interim(status int) {
	if a.hijacked || a.returned || a.sent != nil || !a.asked.ProtoAtLeast(1, 1) {
		return
	}
	if status == http.StatusContinue {
		a.proceed()
		return
	}
	h := a.header.Clone()
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection"} {
		h.Del(name)
	}
	r := &http1.Response{Response: &http.Response{StatusCode: status, Header: h, Request: a.asked}}
	if session.WriteFrame(a.stream, http1.Responses{Limits: a.conn.of.answers}, r) == nil {
		_ = a.stream.Flush()
	}
}

// proceed tells a client that waits for it to send its content. mu is held.
func (a *answer) proceed() {
	if a.expects && session.WriteFrame(a.stream, http1.Responses{}, interim()) == nil {
		a.expects = false
		_ = a.stream.Flush()
	}
}
