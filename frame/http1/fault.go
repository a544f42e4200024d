package http1

import (
	"fmt"
	"io"
	"net/http"

	"github.com/tandem-io/tandem/frame"
)

// fault becomes a *frame.Error. Functions that parse a part of the bytes count from the beginning of that part; their
// callers add its offset.
type fault struct {
	at     int
	status int // that a server should answer with
	kind   error
	what   string
}

func malformed(at int, format string, args ...any) *fault {
	return &fault{at, http.StatusBadRequest, frame.ErrMalformed, fmt.Sprintf(format, args...)}
}

func tooLarge(at, status int, format string, args ...any) *fault {
	return &fault{at, status, frame.ErrTooLarge, fmt.Sprintf(format, args...)}
}

func unfinished(at int, what string) *fault {
	return &fault{at, http.StatusBadRequest, io.ErrUnexpectedEOF, "the peer finished within " + what}
}

// behind adds n to the offset of f, and returns f, which may be nil.
func (f *fault) behind(n int) *fault {
	if f != nil {
		f.at += n
	}
	return f
}

func (f *fault) as(codec string) *frame.Error {
	return &frame.Error{Codec: codec, Offset: int64(f.at), What: f.what, Err: f.kind}
}
