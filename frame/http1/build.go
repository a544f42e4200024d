package http1

import (
	"bufio"
	"net/http"
	"net/textproto"
	"net/url"
)

// receivedRequest is a request in one allocation with what it refers to.
type receivedRequest struct {
	message  Request
	body     memory
	prompted bool // whether the client was told to continue
	request  http.Request
	url      url.URL
}

// mostText is the largest head of which all parts of a request share one string, so that whoever keeps a part keeps little
// else. In bytes.
const mostText = 4 << 10

// build makes the request of a valid head, as http.ReadRequest does.
func (h *head) build(head []byte) (*receivedRequest, *fault) {
	m := new(receivedRequest)
	if h.simple(head) {
		h.fill(m, string(head))
		return m, nil
	}
	f := readWith(head, func(r *bufio.Reader) (err error) {
		m.message.Request, err = http.ReadRequest(r)
		return err
	})
	if f != nil {
		return nil, f
	}
	r := m.message.Request
	r.Body = http.NoBody
	if !soundURL(r.URL) {
		return nil, malformed(0, "a request target with a user, or without a host")
	}
	return m, announced(r.Trailer)
}

// simple reports whether fill makes of a head what http.ReadRequest does: there is nothing that it would refuse or change.
func (h *head) simple(head []byte) bool {
	r := &h.request
	if !r.plain || r.later || r.trailer || r.pragma || h.codings > 0 || len(head) > mostText {
		return false
	}
	for _, c := range head[r.target:r.behind] {
		switch {
		case c == '?':
			return true // of a query nothing is parsed
		case classes[c]&pathByte == 0:
			return false
		}
	}
	return true
}

// sound reports whether http.ReadRequest accepts a head, as far as that shows without parsing it once more.
func (h *head) sound(head []byte) bool {
	r := &h.request
	if !r.plain || r.later || r.trailer || h.codings > 0 {
		return false
	}
	for target := head[r.target:r.behind]; len(target) > 0 && target[0] != '?'; target = target[1:] {
		if target[0] == '%' && (len(target) < 3 || hexDigit(target[1]) < 0 || hexDigit(target[2]) < 0) {
			return false
		}
	}
	return true
}

// fill makes the request of a head that is simple.
func (h *head) fill(m *receivedRequest, text string) {
	r, at := &m.request, &h.request
	m.message.Request = r
	r.Method, r.RequestURI = methodIn(text[:at.target-1]), text[at.target:at.behind]
	r.Proto, r.ProtoMajor, r.ProtoMinor = text[at.behind+1:at.behind+9], 1, h.minor
	r.URL, r.Body, r.ContentLength, r.Close = &m.url, http.NoBody, h.length, h.ends()
	m.url.Path = r.RequestURI
	for i := range len(r.RequestURI) {
		if r.RequestURI[i] == '?' {
			m.url.Path, m.url.RawQuery = r.RequestURI[:i], r.RequestURI[i+1:]
			m.url.ForceQuery = i == len(r.RequestURI)-1
			break
		}
	}
	r.Header = make(http.Header, max(len(at.fields)-1, 0)) // but Host
	var values []string
	if len(at.fields) > 1 || at.host == 0 {
		values = make([]string, len(at.fields))
	}
	for i, f := range at.fields {
		value := text[f.from:f.to]
		if int(at.host) == i+1 {
			r.Host = value
			continue
		}
		name := fieldName(text[f.at:f.colon])
		if before := r.Header[name]; before != nil {
			r.Header[name] = append(before, value)
			continue
		}
		values[i] = value
		r.Header[name] = values[i : i+1 : i+1]
	}
}

// methodIn returns a method, without the head that it was found in if it is a usual one.
func methodIn(text string) string {
	switch text {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	case http.MethodPut:
		return http.MethodPut
	case http.MethodHead:
		return http.MethodHead
	case http.MethodDelete:
		return http.MethodDelete
	}
	return text
}

// fieldName returns the name of a field as http.Header has it.
func fieldName(name string) string {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' || !upper && c >= 'A' && c <= 'Z' {
			return textproto.CanonicalMIMEHeaderKey(name)
		}
		upper = c == '-'
	}
	return name
}
