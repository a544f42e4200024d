//go:build linux

package load

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/tandem-io/tandem/bench/workload"
)

// httpLayer is the client of an HTTP/1.1 connection. Each message is a request for the one answer that there is. The
// messages that the traffic sends and receives are the contents of the answers.
type httpLayer struct {
	sending
	in    []byte // of an answer whose head is not complete
	known []byte // the head that was checked last
	left  int    // bytes of the content that are still to come
}

const httpRequest = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"

// longestHead is how long the head of an answer may be.
const longestHead = 4 << 10

func newHTTPLayer(s socket) *httpLayer { return &httpLayer{sending: sending{socket: s}} }

func (*httpLayer) open() (bool, error) { return true, nil }

func (l *httpLayer) write(p []byte) (int, error) {
	for range len(p) / len(workload.Hello) {
		l.rest = append(l.rest, httpRequest...)
	}
	return len(p), l.flush()
}

// read takes the heads out, in place.
func (l *httpLayer) read() ([]byte, error) {
	p, err := l.receive()
	if err != nil {
		return nil, err
	}
	content := p[:0]
	if len(l.in) > 0 {
		p = append(l.in, p...)
		content = p[:0]
		l.in = nil
	}
	for len(p) > 0 {
		if l.left == 0 {
			end := bytes.Index(p, []byte("\r\n\r\n"))
			if end < 0 && len(p) > longestHead {
				return nil, l.fail("HTTP", fmt.Errorf("the head of an answer has more than %d bytes", longestHead))
			}
			if end < 0 {
				l.in = bytes.Clone(p)
				break
			}
			if err := l.check(p[:end+4]); err != nil {
				return nil, l.fail("HTTP", err)
			}
			l.left, p = len(workload.Hello), p[end+4:]
		}
		n := min(len(p), l.left)
		content = append(content, p[:n]...)
		l.left, p = l.left-n, p[n:]
	}
	return content, nil
}

// check checks the head of an answer. Most are like the one before.
func (l *httpLayer) check(head []byte) error {
	if bytes.Equal(head, l.known) {
		return nil
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), nil)
	if err != nil {
		return err
	}
	_ = r.Body.Close()
	kind := r.Header.Get("Content-Type")
	switch {
	case r.StatusCode != http.StatusOK || !r.ProtoAtLeast(1, 1):
		return fmt.Errorf("the server answered %s %s", r.Proto, r.Status)
	case r.ContentLength != int64(len(workload.Hello)):
		return fmt.Errorf("the content has %d bytes, want %d", r.ContentLength, len(workload.Hello))
	case kind != "text/plain" && !strings.HasPrefix(kind, "text/plain;"):
		return fmt.Errorf("Content-Type is %q, want text/plain", kind)
	case r.Close:
		return fmt.Errorf("the server will close the connection")
	}
	l.known = append(l.known[:0], head...)
	return nil
}
