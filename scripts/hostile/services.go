//go:build linux

package main

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
)

// service is what a listener of the server does.
type service struct {
	name    string
	handler tandem.Handler
	options tandem.StreamOptions
}

const (
	steadyService  = "steady"  // an echo for the well-behaved streams
	echoService    = "echo"    // sends back what comes
	halfService    = "half"    // the same, and stays open for writing when the peer has finished
	discardService = "discard" // reads everything
	sourceService  = "source"  // a line with a number is answered by so many bytes
	httpService    = "http"    // GET /N is answered by N bytes
	u64Service     = "u64"     // one of codecs
)

// services are what the server offers, with a listener each.
func services(l *limits) []service {
	all := []service{
		{name: steadyService, handler: echo{}},
		{name: echoService, handler: echo{}},
		{name: halfService, handler: echo{}, options: tandem.StreamOptions{AllowHalfClose: true}},
		{name: discardService, handler: discard{}},
		{name: sourceService, handler: source(l)},
		{name: httpService, handler: httpsession.Handler(http.HandlerFunc(answerHTTP), &httpsession.ServerOptions{
			Limits: http1.Limits{BodyBytes: l.Content}, MessageTimeout: l.MessageTimeout, AnswerBytes: largestAnswer,
		})},
	}
	for name, c := range codecs(l) {
		f := session.Frames(c, func(s *tandem.Stream, m []byte) {
			if session.WriteFrame(s, c, m[:min(len(m), largestAnswer)]) != nil {
				_ = s.Abort() // such as a message of a fixed size that was cut
			}
		})
		f.MessageTimeout = l.MessageTimeout
		all = append(all, service{name: name, handler: f})
	}
	return all
}

// codecs are those of package frame, by the names of their services.
func codecs(l *limits) map[string]frame.Codec[[]byte] {
	made := func(c frame.Codec[[]byte], err error) frame.Codec[[]byte] {
		if err != nil {
			panic(err)
		}
		return c
	}
	most := l.MaxPayload
	return map[string]frame.Codec[[]byte]{
		u64Service:   frame.U64{MaxPayload: most},
		"simple":     frame.Simple{},
		"checksum32": frame.Checksum32{MaxPayload: most},
		"varint":     frame.Varint{MaxPayload: most},
		"length2":    made(frame.NewLengthField(frame.LengthFieldOptions{Length: 2, Offset: 1, Adjustment: -3, MaxFrame: most})),
		"length4":    made(frame.NewLengthField(frame.LengthFieldOptions{MaxFrame: most, FailLate: true})),
		"length8":    made(frame.NewLengthField(frame.LengthFieldOptions{Length: 8, Strip: 8, MaxFrame: most})),
		"delimiter":  made(frame.NewDelimiter(frame.DelimiterOptions{Delimiters: [][]byte{[]byte("\r\n"), []byte("\n"), {0}}})),
		"line":       frame.Line{},
		"fixed":      made(frame.NewFixed(64)),
	}
}

// echo sends back what comes.
type echo struct{ tandem.BaseHandler }

func (echo) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	if _, err := s.Write(p); err == tandem.ErrWriteBufferFull {
		_ = s.Abort()
	}
}

// discard reads everything.
type discard struct{ tandem.BaseHandler }

func (discard) OnData(s *tandem.Stream) { _, _ = s.Discard(-1) }

// zeros is what answers are made of.
var zeros = make([]byte, largestAnswer)

// source answers each line that is a number by so many bytes.
func source(l *limits) tandem.Handler {
	f := session.Frames(frame.Line{}, func(s *tandem.Stream, m []byte) {
		n, err := strconv.Atoi(string(bytes.TrimSpace(m)))
		if err == nil {
			_, err = s.Write(zeros[:min(max(n, 0), largestAnswer)])
		}
		if err != nil {
			_ = s.Abort()
		}
	})
	f.MessageTimeout = l.MessageTimeout
	return f
}

// answerHTTP answers /N by N bytes.
func answerHTTP(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Path[1:])
	_, _ = w.Write(zeros[:min(max(n, 0), largestAnswer)])
}
