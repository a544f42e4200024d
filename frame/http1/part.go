package http1

// Part says which part of a message a Request or a Response is, where content is delivered or written in parts:
//
//	Whole                             all of it, which is the default
//	First  Middle  Middle ...  Last   the head; pieces of the content; the last piece, which may be empty, and the trailer
//
// A Decoder returns the same Request or Response for all parts of a message, with another Part and Content each time.
type Part uint8

// The parts of a message.
const (
	Whole  Part = iota // the head and all of the content
	First              // the head. A Decoder returns it without content; for Append, Content may have the first piece
	Middle             // a piece of the content
	Last               // the last piece, and the trailer. From a Decoder it may be empty, and so may it for Append
)

// Begins reports whether the part has the head.
func (p Part) Begins() bool { return p == Whole || p == First }

// Ends reports whether no other part of the message follows.
func (p Part) Ends() bool { return p == Whole || p == Last }

// String returns the constant's name, in lower case.
func (p Part) String() string {
	names := [...]string{"whole", "first", "middle", "last"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// parts is what a decoder knows of a message whose content it delivers in parts.
type parts struct {
	on    bool   // the present message is delivered in parts
	first bool   // its head is the next part
	came  int64  // bytes of its content, up to and with piece
	piece []byte // the next part, in the caller's memory
}

// ready reports whether there is a part to deliver.
func (p *parts) ready() bool { return p.first || len(p.piece) > 0 }

// take adds a piece of the content.
func (p *parts) take(piece []byte) {
	p.piece = piece
	p.came += int64(len(piece))
}

// next returns the part that is ready, and forgets it. whole reports whether the message is complete.
func (p *parts) next(whole bool) (Part, []byte) {
	piece := p.piece[:len(p.piece):len(p.piece)]
	p.piece = nil
	switch {
	case p.first:
		p.first = false
		return First, nil
	case whole:
		return Last, piece
	}
	return Middle, piece
}

// framing is how the end of a message that is encoded in parts is marked.
type framing struct {
	length  int64 // Content-Length; -1: none
	chunked bool
	old     bool // HTTP/1.0
}

// frameParts decides that for a message with content of length bytes, -1 or 0 if nobody knows; asked is the Content-Length
// of its Header, -1 if there is none. RFC 9112, section 6.
func frameParts(length, asked int64, chunked, old bool) (framing, *fault) {
	switch {
	case chunked && old:
		return framing{}, malformed(0, "chunks or a trailer in HTTP/1.0")
	case chunked:
		return framing{length: -1, chunked: true}, nil
	case length == 0:
		length = asked
	}
	if length < 0 {
		return framing{length: -1, chunked: !old, old: old}, nil
	}
	return framing{length: length, old: old}, nil
}

// appendPart appends a piece of the content, and the end of the message if it is the last.
func (o *outgoing) appendPart(dst []byte, last bool, limits *Limits) ([]byte, *fault) {
	switch {
	case o.bare:
		return dst, nil
	case !o.chunked:
		return append(dst, o.content...), nil
	}
	dst, f := o.appendChunk(dst, limits)
	if f != nil || !last {
		return dst, f
	}
	for name := range o.trailer {
		if f := trailerName([]byte(name)); f != nil {
			return dst, f
		}
	}
	return o.appendTrailer(append(dst, "0\r\n"...), limits)
}

// endsWithConnection reports whether only the end of the connection ends the content of a response in parts.
func (r *Response) endsWithConnection() bool {
	if r.Part == Whole || !hasContent(r.Response) || !isOld(r.ProtoMajor, r.ProtoMinor) && !toOld(r.Response) {
		return false
	}
	var space [8]fieldOf
	asked, f := lengthIn(sortedFields(space[:0], r.Header))
	return f == nil && r.ContentLength <= 0 && asked < 0
}
