package http1

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// joins shows messages that come in parts as if they were whole: all but the last part of each is "".
type joins struct {
	t       testing.TB
	content []byte
	within  bool
}

func (j *joins) add(p Part, content []byte) (all []byte, whole bool) {
	require.Equal(j.t, !j.within, p.Begins(), "%v within a message: %v", p, j.within)
	if p == First {
		require.Empty(j.t, content, "the first part")
	}
	if p == Middle {
		require.NotEmpty(j.t, content, "a piece")
	}
	j.content = append(j.content, content...)
	if j.within = !p.Ends(); j.within {
		return nil, false
	}
	all, j.content = j.content, nil
	return all, true
}

func (j *joins) request(m *Request) string {
	content, whole := j.add(m.Part, m.Content)
	if !whole {
		return ""
	}
	one := *m.Request
	one.Body = bodyOf(new(memory), content)
	return showRequest(&Request{Request: &one, Content: content})
}

func (j *joins) response(m *Response) string {
	content, whole := j.add(m.Part, m.Content)
	if !whole {
		return ""
	}
	one := *m.Response
	one.Body = bodyOf(new(memory), content)
	return showResponse(&Response{Response: &one, Content: content})
}

// sameInParts compares what came in parts with what came whole.
func sameInParts(t testing.TB, want, got outcome, about string) {
	t.Helper()
	var messages []string
	var ends []int
	for i, m := range got.Messages {
		if m != "" {
			messages, ends = append(messages, m), append(ends, got.Ends[i])
		}
	}
	require.Equal(t, want.Messages, messages, about)
	require.Equal(t, want.Ends, ends, about)
	require.Equal(t, want.kind, got.kind, about)
	if want.kind == frame.ErrMalformed {
		require.Equal(t, want.Err, got.Err, about)
	}
}

func inPartsRequests() *RequestDecoder {
	return Requests{Parts: func(*Request) bool { return true }}.NewRequestDecoder()
}

func inPartsResponses(methods string) *ResponseDecoder {
	d := Responses{Parts: func(*Response) bool { return true }}.NewResponseDecoder()
	for _, method := range strings.Fields(methods) {
		d.Expect(method)
	}
	return d
}

// TestPartsAtEveryCut cuts streams at every point. The pieces together are what a decoder of whole messages returns.
func TestPartsAtEveryCut(t *testing.T) {
	for name, raw := range requestStreams {
		want := drive(t, requests(), whole(raw), false, true, showRequest)
		for at := range len(raw) {
			pieces := [][]byte{[]byte(raw[:at]), []byte(raw[at:])}
			for _, patient := range []bool{false, true} {
				j := &joins{t: t}
				sameInParts(t, want, drive(t, inPartsRequests(), pieces, patient, true, j.request), name)
			}
		}
		j := &joins{t: t}
		sameInParts(t, want, drive(t, inPartsRequests(), cut(raw, 1), false, true, j.request), name)
	}
	for name, s := range responseStreams {
		want := drive(t, responses(s.methods), whole(s.raw), false, s.closes, showResponse)
		for at := range len(s.raw) {
			pieces := [][]byte{[]byte(s.raw[:at]), []byte(s.raw[at:])}
			j := &joins{t: t}
			sameInParts(t, want, drive(t, inPartsResponses(s.methods), pieces, at%2 == 0, s.closes, j.response), name)
		}
	}
}

// TestPartsRefuse has what is refused whole refused in parts too, with the same words at the same place.
func TestPartsRefuse(t *testing.T) {
	same := Requests{Limits: Limits{PartsBytes: 16 << 20}, Parts: func(*Request) bool { return true }}
	for name, trick := range tricks {
		want := drive(t, requests(), whole(trick.raw), false, true, showRequest)
		j := &joins{t: t}
		sameInParts(t, want, drive(t, same.NewRequestDecoder(), cut(trick.raw, 3), false, true, j.request), name)
	}
}

func TestPartsLimit(t *testing.T) {
	for _, raw := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n",
	} {
		for most, refused := range map[int64]bool{-1: true, 10: true, 11: false, 0: false} {
			c := Requests{Limits: Limits{PartsBytes: most, BodyBytes: 1}, Parts: func(*Request) bool { return true }}
			d := c.NewRequestDecoder()
			j := &joins{t: t}
			got := drive(t, d, cut(raw, 4), false, false, j.request)
			assert.Equal(t, refused, got.kind == frame.ErrTooLarge, "a limit of %d bytes: %v", most, got)
			if refused {
				assert.Equal(t, http.StatusRequestEntityTooLarge, d.Status())
			}
		}
	}
}

// TestPartsOfLargeContent: what came is not kept.
func TestPartsOfLargeContent(t *testing.T) {
	d := inPartsRequests()
	_, n, need, err := d.Decode([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n"))
	require.NoError(t, err)
	require.Zero(t, need)
	require.Positive(t, n)
	piece := make([]byte, 1<<16)
	for range 1000 {
		m, n, need, err := d.Decode(piece)
		require.NoError(t, err)
		require.Zero(t, need)
		require.Equal(t, len(piece), n)
		require.Equal(t, Middle, m.Part)
		require.Same(t, &piece[0], &m.Content[0], "the piece was copied")
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _, _, _ = d.Decode(piece) }))
	require.Zero(t, cap(d.body.kept))
}

// encodedInParts encodes a message cut into pieces of size bytes.
func encodedRequest(t *testing.T, m *Request, size int) ([]byte, error) {
	t.Helper()
	all := slices.Collect(slices.Chunk(m.Content, size))
	m.Part, m.Content = First, nil
	dst, err := Requests{}.Append(nil, m)
	for _, piece := range all {
		if err != nil {
			return dst, err
		}
		m.Part, m.Content = Middle, piece
		dst, err = Requests{}.Append(dst, m)
	}
	if err != nil {
		return dst, err
	}
	m.Part, m.Content = Last, nil
	return Requests{}.Append(dst, m)
}

func TestAppendRequestInParts(t *testing.T) {
	for want, k := range map[string]struct {
		length  int64
		trailer http.Header
		minor   int
	}{
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n": {length: -1, minor: 1},
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde":                                     {length: 5, minor: 1},
		"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nabcde":           {length: 5},
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n": {
			minor: 1, trailer: http.Header{"X": {"y"}},
		},
	} {
		m := &Request{Request: &http.Request{Method: "POST", Host: "a", RequestURI: "/", ProtoMajor: 1, ProtoMinor: k.minor,
			ContentLength: k.length, Trailer: k.trailer}, Content: []byte("abcde")}
		got, err := encodedRequest(t, m, 3)
		require.NoError(t, err, "%q", want)
		assert.Equal(t, want, string(got))
	}
	old := &Request{Request: &http.Request{Method: "POST", Host: "a", RequestURI: "/", ProtoMajor: 1, ContentLength: -1}}
	_, err := encodedRequest(t, old, 3)
	assert.ErrorIs(t, err, frame.ErrMalformed, "content without a length in HTTP/1.0")
	bad := &Request{Request: &http.Request{Method: "POST", Host: "a", RequestURI: "/", ProtoMajor: 1, ProtoMinor: 1, Trailer: http.Header{"Host": {"b"}}}}
	_, err = encodedRequest(t, bad, 3)
	assert.ErrorIs(t, err, frame.ErrMalformed, "Host in a trailer")
}

func TestAppendResponseInParts(t *testing.T) {
	get := &http.Request{Method: "GET", ProtoMajor: 1, ProtoMinor: 1}
	for want, k := range map[string]struct {
		to     *http.Request
		status int
		length int64
		keeps  bool
	}{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n": {to: get, status: 200, length: -1, keeps: true},
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc":                            {to: get, status: 200, length: 3, keeps: true},
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc":                            {to: &http.Request{Method: "GET", ProtoMajor: 1, Close: true}, status: 200, length: -1},
		"HTTP/1.1 200 OK\r\n\r\n":                                                    {to: &http.Request{Method: "HEAD", ProtoMajor: 1, ProtoMinor: 1}, status: 200, length: -1, keeps: true},
		"HTTP/1.1 204 No Content\r\n\r\n":                                            {to: get, status: 204, keeps: true},
	} {
		m := &Response{Response: &http.Response{StatusCode: k.status, Request: k.to, ContentLength: k.length}, Part: First}
		got, err := Responses{}.Append(nil, m)
		require.NoError(t, err, "%q", want)
		m.Part, m.Content = Last, []byte("abc")
		if k.status == 204 {
			m.Content = nil
		}
		got, err = Responses{}.Append(got, m)
		require.NoError(t, err, "%q", want)
		assert.Equal(t, want, string(got))
		assert.Equal(t, k.keeps, m.KeepAlive(), "%q", want)
	}
}
