package http1

import (
	"fmt"
	"io"
	"net/http"

	"github.com/tandem-io/tandem/frame"
)

// fault is a *frame.Error in the making. Functions that look at a part of the bytes count from where the part begins;
// who called them adds where that is.
type fault struct {
	at     int
	status int // what a server should answer
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

// behind returns f, counted from n bytes earlier.
func (f *fault) behind(n int) *fault {
	if f != nil {
		f.at += n
	}
	return f
}

func (f *fault) as(codec string) *frame.Error {
	return &frame.Error{Codec: codec, Offset: int64(f.at), What: f.what, Err: f.kind}
}
