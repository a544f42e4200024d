package wssession

import (
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
)

// fragmenting is the message in fragments that is being sent. Its zero value is none.
type fragmenting struct {
	kind websocket.Opcode // Continuation: none
	text websocket.TextChecker
}

// frame returns the frame of a message or a fragment, and the state when it was sent.
func (s fragmenting) frame(m websocket.Message) (f websocket.Frame, after fragmenting, err error) {
	f = websocket.Frame{Opcode: m.Kind, Fin: !m.More, Payload: m.Data}
	switch {
	case m.Kind != websocket.Text && m.Kind != websocket.Binary:
		return f, s, wrong("a message that is %v", m.Kind)
	case s.kind == websocket.Continuation && !m.More:
		if m.Kind == websocket.Text && !utf8.Valid(m.Data) {
			return f, s, errNoUTF8
		}
		return f, s, nil
	case s.kind == m.Kind:
		f.Opcode = websocket.Continuation
	case s.kind != websocket.Continuation:
		return f, s, wrong("a %v message among the fragments of another one", m.Kind)
	}
	after = s
	if m.Kind == websocket.Text && !after.text.Add(m.Data, !m.More) {
		return f, s, errNoUTF8
	}
	if after.kind = m.Kind; !m.More {
		after = fragmenting{}
	}
	return f, after, nil
}

var errNoUTF8 = wrong("a text that is no UTF-8")

func wrong(format string, args ...any) error {
	return &frame.Error{Codec: "websocket", What: fmt.Sprintf(format, args...), Err: frame.ErrMalformed}
}

// pack compresses a message, if that was agreed upon and may be worth it, and reports whether it has got smaller. The memory
// is to be given back, unless it is nil.
func (o *Options) pack(agreed bool, m websocket.Message) (packed *[]byte, smaller bool) {
	if !agreed || m.More || len(m.Data) < o.CompressionThreshold {
		return nil, false
	}
	packed = packages.Get().(*[]byte)
	*packed, smaller = websocket.AppendDeflated((*packed)[:0], m.Data, o.CompressionLevel)
	return packed, smaller
}

// packages holds memory for compressed messages, up to mostKept bytes each.
var packages = sync.Pool{New: func() any { return new([]byte) }}

const mostKept = 1 << 20

func giveBack(packed *[]byte) {
	if cap(*packed) <= mostKept {
		packages.Put(packed)
	}
}
