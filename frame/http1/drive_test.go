package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// outcome is what a decoder made of the bytes of a peer.
type outcome struct {
	Messages []string
	Ends     []int  // offset behind each message
	Left     string // not consumed
	Err      string // with its offset among all bytes
	kind     error
}

func (o outcome) String() string {
	return fmt.Sprintf("messages %q\nends %v\nleft %q\nerror %q", o.Messages, o.Ends, o.Left, o.Err)
}

// drive is a caller of a decoder: pieces come one after the other, and then, if it is told so, the peer's end. It calls
// Decode as often as it may: with every piece, or, if it is patient, when as many bytes have come as were missing, and
// when no more come.
func drive[M any](t testing.TB, d frame.Decoder[M], pieces [][]byte, patient, closes bool, show func(M) string) (o outcome) {
	t.Helper()
	var p []byte
	consumed, missing := 0, 1
	fail := func(err error) outcome {
		var e *frame.Error
		require.ErrorAs(t, err, &e)
		require.GreaterOrEqual(t, e.Offset, int64(0))
		require.LessOrEqual(t, e.Offset, int64(len(p)))
		o.Err, o.kind = fmt.Sprintf("%d: %s", int64(consumed)+e.Offset, e.What), e.Err
		return o
	}
	for i, piece := range pieces {
		// Memory of its own each time: what a decoder kept of the old one would show.
		p, piece = append(slices.Clone(p), piece...), nil
		for !patient || len(p) >= missing || i == len(pieces)-1 {
			before := slices.Clone(p)
			m, n, need, err := d.Decode(p)
			require.True(t, slices.Equal(before, p), "Decode changed p")
			if err != nil {
				return fail(err)
			}
			if n < 0 || n > len(p) || need < 0 || need == 0 && n == 0 {
				t.Fatalf("n %d, need %d, of %d bytes", n, need, len(p))
			}
			consumed += n
			if need == 0 {
				o.Messages = append(o.Messages, show(m))
				o.Ends = append(o.Ends, consumed)
				missing = 1
			}
			gone := p[:n]
			p = p[n:]
			if need > 0 {
				clear(gone) // nothing of what was consumed is needed any more
				missing = len(p) + need
				break
			}
		}
	}
	if closes {
		m, ok, err := d.End(p)
		if err != nil {
			return fail(err)
		}
		if ok {
			consumed += len(p)
			p = nil
			o.Messages = append(o.Messages, show(m))
			o.Ends = append(o.Ends, consumed)
		}
	}
	o.Left = string(p)
	return o
}

func showHeader(h http.Header) string {
	var b strings.Builder
	names := sortedNames(nil, h)
	for _, name := range names {
		fmt.Fprintf(&b, " %s%q", name, h[name])
	}
	return b.String()
}

// readable reads a Body as code does that knows only net/http.
func readable(body io.Reader, content []byte) string {
	b, err := io.ReadAll(body)
	if err != nil || !bytes.Equal(b, content) {
		return fmt.Sprintf("BODY %q, %v", b, err)
	}
	return string(b)
}

func showRequest(m *Request) string {
	return fmt.Sprintf("%s %s %s host=%s%s\nlength %d %v close %v\n%q\ntrailer%s", m.Method, m.RequestURI, m.Proto, m.Host,
		showHeader(m.Header), m.ContentLength, m.TransferEncoding, m.Close, readable(m.Body, m.Content), showHeader(m.Trailer))
}

func showResponse(m *Response) string {
	return fmt.Sprintf("%s %s to %s%s\nlength %d %v close %v\n%q\ntrailer%s", m.Proto, m.Status, m.Request.Method,
		showHeader(m.Header), m.ContentLength, m.TransferEncoding, m.Close, readable(m.Body, m.Content), showHeader(m.Trailer))
}

// oracleRequest is what net/http makes of one request.
func oracleRequest(raw string) (string, error) {
	r, err := http.ReadRequest(bufio.NewReaderSize(strings.NewReader(raw), len(raw)+16))
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(content))
	return showRequest(&Request{Request: r, Content: content}), nil
}

// oracleResponse is what net/http makes of one response to a request with a method.
func oracleResponse(raw, method string) (string, error) {
	r, err := http.ReadResponse(bufio.NewReaderSize(strings.NewReader(raw), len(raw)+16), &http.Request{Method: method})
	if err != nil {
		return "", err
	}
	m := &Response{Response: r}
	if m.Interim() || m.Switched() {
		r.Body, r.Close = http.NoBody, false
	}
	if m.Content, err = io.ReadAll(r.Body); err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(m.Content))
	return showResponse(m), nil
}

func requests() *RequestDecoder { return Requests{}.NewRequestDecoder() }

// responses returns a decoder that expects responses to requests with the methods, which are between spaces.
func responses(methods string) *ResponseDecoder {
	d := Responses{}.NewResponseDecoder()
	for _, method := range strings.Fields(methods) {
		d.Expect(method)
	}
	return d
}

func whole(raw string) [][]byte { return [][]byte{[]byte(raw)} }

// cut cuts raw into pieces of size bytes.
func cut(raw string, size int) (pieces [][]byte) {
	for piece := range slices.Chunk([]byte(raw), size) {
		pieces = append(pieces, piece)
	}
	return pieces
}

// crlfs turns the line ends of a raw string literal into CRLF.
func crlfs(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
