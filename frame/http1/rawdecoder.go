package http1

import "github.com/tandem-io/tandem/frame"

// RawRequestDecoder finds requests in the bytes of a client, as a RequestDecoder does. It returns the same RawRequest each
// time, with other contents. One goroutine at a time may use it.
type RawRequestDecoder struct {
	decoder
	message  RawRequest
	begun    bool // the head of message has come, and its content has not
	returned bool // message is the caller's until Release
	prompted bool // whether the client was told to continue
	copied   bool // the head is in kept
	kept     []byte
}

var _ frame.Decoder[*RawRequest] = (*RawRequestDecoder)(nil)

// Decode implements frame.Decoder. An empty line in front of a request is consumed.
func (d *RawRequestDecoder) Decode(p []byte) (m *RawRequest, n, need int, err error) {
	d.Release()
	if n, need, err = d.decode(p); err != nil || need > 0 {
		d.keepHead()
		return nil, n, need, err
	}
	d.finish()
	return &d.message, n, 0, nil
}

// End implements frame.Decoder. The end of the stream does not end a request, so ok is always false.
func (d *RawRequestDecoder) End(p []byte) (m *RawRequest, ok bool, err error) {
	_, err = d.end(p)
	return nil, false, err
}

// Pending returns the request whose head has been received but whose content has not, or nil. It has no Content yet.
func (d *RawRequestDecoder) Pending() *RawRequest {
	if !d.begun || d.failed != nil {
		return nil
	}
	return &d.message
}

// Status is that of RequestDecoder.
func (d *RawRequestDecoder) Status() int { return d.status }

// Resume is that of RequestDecoder.
func (d *RawRequestDecoder) Resume() {
	if d.state == atHeld {
		d.state = atHead
	}
}

// Reset returns the decoder to its initial state, for a new connection.
func (d *RawRequestDecoder) Reset() {
	d.reset(d, d.codec, d.limits, false)
	d.message, d.begun, d.returned, d.prompted, d.copied = RawRequest{}, false, false, false, false
}

// Prompt implements frame.Prompter: a client that waits for it gets 100 Continue, once for each request.
func (d *RawRequestDecoder) Prompt() []byte {
	if r := d.Pending(); r == nil || d.prompted || !r.ExpectsContinue() {
		return nil
	}
	d.prompted = true
	return continues
}

func (d *RawRequestDecoder) open() *fault { return nil }

func (d *RawRequestDecoder) inParts() bool { return false }

// begin is RFC 9112, section 6.3, for requests.
func (d *RawRequestDecoder) begin(head []byte) (state, *fault) {
	if !d.head.sound(head) {
		if _, f := d.head.build(head); f != nil {
			return 0, f
		}
	}
	d.begun = true
	d.message.head, d.message.text = &d.head, head
	d.message.Content, d.message.Trailer = nil, nil
	d.locate()
	if d.head.codings > 0 {
		return atChunkLine, nil
	}
	return atLength, nil
}

// locate finds the parts of the request line in the head.
func (d *RawRequestDecoder) locate() {
	m, at := &d.message, &d.head.request
	m.Method = m.text[: at.target-1 : at.target-1]
	m.Target = m.text[at.target:at.behind:at.behind]
	m.Minor = d.head.minor
}

// keepHead copies the head of a request whose content is still to come, before the caller reuses its memory.
func (d *RawRequestDecoder) keepHead() {
	if d.begun && !d.copied {
		d.kept, d.copied = append(d.kept[:0], d.message.text...), true
		d.message.text = d.kept
		d.locate()
	}
}

// finish completes the request, which is the caller's until Release.
func (d *RawRequestDecoder) finish() {
	d.begun, d.prompted, d.returned = false, false, true
	after := atHead
	switch {
	case d.head.request.connect:
		after = atHeld
	case d.head.ends():
		after = atEnded
	}
	if d.body.len() > 0 {
		d.message.Content = d.body.take()
	}
	d.message.Trailer = d.trailer
	d.enter(after)
}

// Release ends the time of the request that Decode has returned last, as the next Decode does: whoever calls it when nothing more
// has come keeps no memory for a client that stays and sends nothing. Without such a request it does nothing.
func (d *RawRequestDecoder) Release() {
	if !d.returned {
		return
	}
	d.message = RawRequest{}
	d.returned, d.excess, d.rest, d.trailer = false, 0, 0, nil
	d.head.reset()
	if d.copied {
		if d.copied = false; cap(d.kept) > mostText {
			d.kept = nil
		}
	}
}
