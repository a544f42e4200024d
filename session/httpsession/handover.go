package httpsession

import (
	"fmt"
	"net/http"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// HandOver ends HTTP on a stream, and gives the stream to h: for another protocol after 101, or for a tunnel after CONNECT.
// An http.Handler that a Handler of this package serves calls it, with its ResponseWriter or one that wraps it and has
// Unwrap, and before it has written anything:
//
//	before   earlier requests of the client, pipelined ones too, have their responses
//	status   101, or 2xx to CONNECT; it is sent with the fields of w.Header()
//	behind   bytes behind the request are h's, also those that have come already: OnData is called for them
//
// When HandOver returns, the stream is h's, as after SetHandler: its OnOpen is not called, because the stream is open, but
// all that follows is, OnClose included. Writes to the stream, from here on, are behind the response's head. w returns
// http.ErrHijacked. r.Body and the context of the request end when the http.Handler returns, as ever. If that panics, the
// stream is reset, and h gets OnClose.
//
// HandOver belongs to the stream's loop: a goroutine that the http.Handler has started must not call it. It panics if h is nil
// or incomplete. After an error, such as of a status that does not end HTTP, the request can still be answered.
func HandOver(w http.ResponseWriter, status int, h session.Handler) (*session.Stream, error) {
	a, err := ownAnswer(w, "hand over")
	if err != nil {
		return nil, err
	}
	return a.handOver(status, h)
}

func (a *answer) handOver(status int, h session.Handler) (*session.Stream, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.taken(); err != nil {
		return nil, err
	}
	if a.early {
		return nil, fmt.Errorf("httpsession: hand over: %w", errEarlySwitch)
	}
	response := &http1.Response{Response: &http.Response{StatusCode: status, Header: a.header, Request: a.asked}}
	if !response.Switched() || status == http.StatusSwitchingProtocols && a.asked.Method == http.MethodConnect {
		return nil, fmt.Errorf("httpsession: hand over: status %d does not end HTTP behind a request %s", status, a.asked.Method)
	}
	head, err := http1.Responses{Limits: a.conn.of.answers}.Append(nil, response)
	if err != nil {
		return nil, err
	}
	a.stream.SetHandler(h)
	if _, err := a.stream.Write(head); err != nil {
		a.stream.SetHandler(a.conn)
		return nil, err
	}
	a.hijacked = true
	a.conn.times.leave()
	return a.stream, nil
}
