package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/textproto"
	"sync"

	"github.com/tandem-io/tandem/frame"
)

// state is what a decoder looks for next. The package comment draws the transitions; enter makes them.
type state uint8

const (
	atHead       state = iota
	atLength           // rest bytes of content
	atChunkLine        // a chunk's size
	atChunkData        // rest bytes of a chunk
	atChunkEnd         // CRLF behind a chunk
	atTrailer          // fields and the empty line
	atUntilClose       // content up to the end of the stream
	atWhole            // nothing: the message is complete
	atEnded            // nothing: further bytes are dropped
	atHeld             // nothing, until Resume or Switch is called
	atSwitched         // nothing: further bytes are not HTTP
)

// decoder is the part that requests and responses have in common: it finds the end of messages.
type decoder struct {
	codec  string // name, for errors
	limits Limits
	kind   kind

	state   state
	head    head
	lines   lines // of a chunk or a trailer
	rest    int64 // bytes of the content, or of a chunk, that are missing
	parts   parts
	body    gather
	excess  int // bytes of chunk lines that count for maxExcess
	trailer http.Header

	failed error
	status int // for Status
}

// kind is the part in which requests and responses differ.
type kind interface {
	// open is called when the first byte of a message has been received.
	open() *fault
	// begin is called with a valid head. It parses it with net/http, and returns the next state.
	begin(head []byte) (state, *fault)
	// inParts reports whether the content of the message that has begun is to be delivered in parts.
	inParts() bool
}

func (d *decoder) reset(k kind, codec string, l Limits, response bool) {
	*d = decoder{codec: codec, limits: l, kind: k, head: head{response: response, located: !response}}
}

// decode implements Decode of frame.Decoder, up to state atWhole.
func (d *decoder) decode(p []byte) (n, need int, err error) {
	if d.failed != nil {
		return 0, 0, d.failed
	}
	for d.state != atWhole {
		used, more, f := d.step(p[n:])
		if f != nil {
			return 0, 0, d.fail(f.behind(n))
		}
		n += used
		if more > 0 {
			d.body.copyLent(d.limits.BodyBytes)
			return n, more, nil
		}
		if d.parts.on && d.parts.ready() {
			break
		}
	}
	return n, 0, nil
}

func (d *decoder) fail(f *fault) error {
	d.failed, d.status = f.as(d.codec), f.status
	d.body, d.parts = gather{}, parts{}
	return d.failed
}

// step parses the front of p. It returns how many bytes it has consumed, and how many are missing; with 0 there is a next
// step.
func (d *decoder) step(p []byte) (used, need int, f *fault) {
	switch d.state {
	case atHead:
		return d.stepHead(p)
	case atLength:
		return d.stepLength(p)
	case atChunkLine:
		return d.stepChunkLine(p)
	case atChunkData:
		return d.stepChunkData(p)
	case atChunkEnd:
		return d.stepChunkEnd(p)
	case atTrailer:
		return d.stepTrailer(p)
	case atUntilClose:
		return d.stepUntilClose(p)
	case atEnded:
		return len(p), 1, nil
	default: // atHeld, atSwitched
		return 0, 1, nil
	}
}

// stepHead looks for a whole head.
func (d *decoder) stepHead(p []byte) (used, need int, f *fault) {
	if len(p) == 0 {
		return 0, 1, nil
	}
	if d.head.lines.seen == 0 {
		if f := d.kind.open(); f != nil {
			return 0, 0, f
		}
	}
	used, whole, f := d.head.scan(p, &d.limits)
	switch {
	case f != nil:
		return 0, 0, f
	case whole:
		return used, 0, d.endHead(p[:used])
	case used > 0:
		return used, 0, nil
	}
	return 0, 1, nil
}

func (d *decoder) endHead(head []byte) *fault {
	next, f := d.kind.begin(head)
	if f != nil {
		return f
	}
	if next == atLength {
		if d.rest = d.head.length; d.rest == 0 {
			next = atWhole
		}
	}
	if next != atWhole && d.kind.inParts() {
		d.parts = parts{on: true, first: true}
	}
	if next == atLength && d.rest > d.room() {
		return d.bodyTooLarge(0)
	}
	d.enter(next)
	return nil
}

// room returns how much more content the limit allows.
func (d *decoder) room() int64 {
	if d.parts.on {
		return d.limits.PartsBytes - d.parts.came
	}
	return int64(d.limits.BodyBytes - d.body.len())
}

func (d *decoder) bodyTooLarge(at int) *fault {
	most := int64(d.limits.BodyBytes)
	if d.parts.on {
		most = d.limits.PartsBytes
	}
	return tooLarge(at, http.StatusRequestEntityTooLarge, "content of more than %d bytes", most)
}

// enter makes the transition to the next state, in which lines are counted anew.
func (d *decoder) enter(next state) {
	d.state, d.lines = next, lines{}
}

// stepLength consumes the content when all of it is in p, or what is there of it in parts. RFC 9112, section 6.2.
func (d *decoder) stepLength(p []byte) (used, need int, f *fault) {
	switch missing := d.rest - int64(len(p)); {
	case missing > 0 && !d.parts.on:
		return 0, int(missing), nil
	case len(p) == 0:
		return 0, 1, nil
	}
	used = d.keep(p)
	if d.rest == 0 {
		d.enter(atWhole)
	}
	return used, 0, nil
}

// keep takes content from the front of p, up to what is missing of it.
func (d *decoder) keep(p []byte) (used int) {
	used = int(min(d.rest, int64(len(p))))
	d.rest -= int64(used)
	if d.parts.on {
		d.parts.take(p[:used])
	} else {
		d.body.add(p[:used], d.limits.BodyBytes)
	}
	return used
}

// stepUntilClose consumes all of p. RFC 9112, section 6.3, the last case.
func (d *decoder) stepUntilClose(p []byte) (used, need int, f *fault) {
	if left := d.room(); int64(len(p)) > left {
		return 0, 0, d.bodyTooLarge(int(left))
	}
	d.rest = int64(len(p))
	if used = d.keep(p); d.parts.on && used > 0 {
		return used, 0, nil
	}
	return used, 1, nil
}

// end implements End of frame.Decoder. It reports whether the end of the stream ends a message.
func (d *decoder) end(p []byte) (whole bool, err error) {
	if d.failed != nil {
		return false, d.failed
	}
	switch d.state {
	case atEnded, atHeld, atSwitched:
		return false, nil
	case atHead:
		if len(p) == 0 {
			return false, nil
		}
		return false, d.fail(unfinished(len(p), "a head"))
	case atUntilClose:
		if _, _, f := d.stepUntilClose(p); f != nil {
			return false, d.fail(f)
		}
		d.enter(atWhole)
		return true, nil
	case atLength:
		return false, d.fail(unfinished(len(p), fmt.Sprintf("content: %d of %d bytes came", len(p), d.rest)))
	default:
		return false, d.fail(unfinished(len(p), "chunked content"))
	}
}

// next prepares for the next message, and returns the content and the trailer of the present one.
func (d *decoder) next(state state) (content []byte, trailer http.Header) {
	if content, trailer = d.body.take(), d.trailer; d.parts.on {
		_, content = d.parts.next(true)
	}
	d.parts = parts{}
	d.enter(state)
	d.head.reset()
	d.excess, d.rest, d.trailer = 0, 0, nil
	return content, trailer
}

// source is a reader from which net/http reads a head. It is reused, because a head is read at once.
type source struct {
	bytes  bytes.Reader
	buffer *bufio.Reader
}

var sources = sync.Pool{New: func() any {
	s := new(source)
	s.buffer = bufio.NewReader(&s.bytes)
	return s
}}

// readWith calls read with a reader of p. The result of read must not refer to the reader.
func readWith(p []byte, read func(*bufio.Reader) error) *fault {
	s := sources.Get().(*source)
	s.bytes.Reset(p)
	s.buffer.Reset(&s.bytes)
	err := read(s.buffer)
	s.bytes.Reset(nil)
	sources.Put(s)
	if err != nil {
		return malformed(0, "%v", err)
	}
	return nil
}

// readTrailer parses valid fields, with the empty line behind them.
func readTrailer(p []byte) (fields http.Header, f *fault) {
	f = readWith(p, func(r *bufio.Reader) error {
		read, err := textproto.NewReader(r).ReadMIMEHeader()
		fields = http.Header(read)
		return err
	})
	return fields, f
}

// announced checks the names that the field Trailer announces. RFC 9110, section 6.6.2.
func announced(names http.Header) *fault {
	var space [8]string
	for _, name := range sortedNames(space[:0], names) { // the same bytes make the same error
		if f := trailerName([]byte(name)); f != nil {
			return f
		}
	}
	return nil
}

var _ frame.Decoder[*Request] = (*RequestDecoder)(nil)
var _ frame.Decoder[*Response] = (*ResponseDecoder)(nil)
