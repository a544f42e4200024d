package httpsession

import (
	"io"
	"net/http"
	"sync"
)

// content is the Body of a request whose bytes are lent. It is closed when the handler returns, as in net/http. A handler
// that reads later gets an error, and not other bytes in the same memory.
type content struct {
	mu     sync.Mutex // guards what follows, because a handler may have started goroutines
	rest   []byte
	closed bool
}

// Read implements io.Reader. After Close, or when the handler has returned, the error is http.ErrBodyReadAfterClose.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, http.ErrBodyReadAfterClose
	case len(c.rest) == 0:
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest, c.closed = nil, true
	return nil
}
