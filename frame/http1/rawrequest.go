package http1

import (
	"bytes"
	"iter"
	"net/http"
	"slices"
)

// RawRequests is the codec of requests as they lie in the bytes that came: a request that came at once is not copied, and nothing
// is allocated for it. A head whose content comes later is copied, into memory that is used again; content in several chunks
// is, too, and trailers and unusual targets cost what they cost with Requests. It accepts and refuses what Requests does; content
// does not come in parts. It has no Append: a client uses Requests. Its zero value has default limits.
type RawRequests struct {
	Limits Limits
}

// NewRawRequestDecoder returns a decoder of the requests of one client.
func (c RawRequests) NewRawRequestDecoder() *RawRequestDecoder {
	d := new(RawRequestDecoder)
	d.reset(d, requestCodec, c.Limits.resolved(), false)
	return d
}

// MaxSize returns what that of Requests does.
func (c RawRequests) MaxSize() int { return c.Limits.maxSize() }

// RawRequest is a request whose parts refer to the bytes that it came in. A RawRequestDecoder makes it; its zero value is of no
// use. It, and everything that its methods return, is valid until the next call of Decode or Release, or for as long as the bytes
// that were given to the last Decode are, whichever is shorter: who keeps a part copies it. The bytes are for reading: what changes
// one part may change what others return. Names of fields are found in any case; values are without the spaces around them.
type RawRequest struct {
	Method  []byte // as it came, such as GET
	Target  []byte // as it came, such as /path?query
	Minor   int    // of the version: HTTP/1.Minor, which is 0 or 1
	Content []byte
	Trailer http.Header // fields behind chunked content; nil: none

	head *head
	text []byte // the head
}

// Path returns the path in the target, without having resolved escapes such as %20. It is empty in the target of CONNECT,
// and of OPTIONS * it is *.
func (r *RawRequest) Path() []byte {
	if r.Target[0] == '/' {
		return slices.Clip(r.Target[:indexOrEnd(r.Target, '?')])
	}
	_, path := r.absolute()
	return slices.Clip(path[:indexOrEnd(path, '?')])
}

// absolute returns the authority and the rest of a target that is not a path alone. RFC 9112, section 3.2.
func (r *RawRequest) absolute() (authority, rest []byte) {
	_, after, is := bytes.Cut(r.Target, []byte("://"))
	switch {
	case r.head.request.connect:
		return r.Target, nil
	case !is:
		return nil, r.Target
	}
	end := bytes.IndexAny(after, "/?")
	if end < 0 {
		end = len(after)
	}
	return slices.Clip(after[:end]), after[end:]
}

// Query returns the part of the target behind the first question mark, which is empty if there is none.
func (r *RawRequest) Query() []byte {
	return r.Target[min(indexOrEnd(r.Target, '?')+1, len(r.Target)):]
}

// Host returns the host that the request is for, with its port if there is one: the one in the target, or the value of Host. It
// is nil if there is neither.
func (r *RawRequest) Host() []byte {
	if r.Target[0] != '/' {
		if authority, _ := r.absolute(); len(authority) > 0 {
			return authority
		}
	}
	if at := r.head.request.host; at > 0 {
		f := r.head.request.fields[at-1]
		return r.text[f.from:f.to:f.to]
	}
	return nil
}

// Get returns the value of the first field of that name, or nil.
func (r *RawRequest) Get(name string) []byte {
	for _, f := range r.head.request.fields {
		if int(f.colon-f.at) == len(name) && bytes.EqualFold(r.text[f.at:f.colon], []byte(name)) {
			return r.text[f.from:f.to:f.to]
		}
	}
	return nil
}

// Fields returns the name and the value of each field, in the order in which they came, Host and those of framing included.
func (r *RawRequest) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range r.head.request.fields {
			if !yield(r.text[f.at:f.colon:f.colon], r.text[f.from:f.to:f.to]) {
				return
			}
		}
	}
}

// KeepAlive reports whether the client wants to send more requests on this connection. RFC 9112, section 9.3.
func (r *RawRequest) KeepAlive() bool { return !r.head.ends() }

// ExpectsContinue is that of Request.
func (r *RawRequest) ExpectsContinue() bool { return r.Minor > 0 && r.head.request.continues }

// Expects reports whether there is a field Expect, whatever its value.
func (r *RawRequest) Expects() bool { return r.head.request.expects }

// Request returns the same request in the types of net/http, as the decoder of Requests does. Only its Content, and so its
// Body, refer to the bytes that it came in.
func (r *RawRequest) Request() (*Request, error) {
	m, f := r.head.build(r.text)
	if f != nil { // such as of a request that was kept
		return nil, f.as(requestCodec)
	}
	m.message.Content = r.Content
	m.message.Body = bodyOf(&m.body, r.Content)
	m.message.Trailer = merged(m.message.Trailer, r.Trailer)
	return &m.message, nil
}
