package http1

// span is where a field lies in a head: its name is head[at:colon], and its value head[from:to].
type span struct{ at, colon, from, to int32 }

// requestHead is where the parts of a request's head are, and what its fields say about the connection.
type requestHead struct {
	connect bool  // the method
	bare    bool  // the method is HEAD: the response ends with its head
	target  int32 // head[target:behind] is the target
	behind  int32
	fields  []span
	host    int32 // index in fields, and 1; 0: there is none

	plain     bool // the target begins with /
	later     bool // the version is above 1.1
	trailer   bool // there is a field Trailer
	pragma    bool
	closes    bool // Connection has close
	stays     bool // Connection has keep-alive
	continues bool // Expect has 100-continue
	expects   bool // there is a field Expect
}

// reset prepares r for the next head, in the same memory if that is little.
func (r *requestHead) reset() {
	fields := r.fields[:0]
	if cap(fields) > mostSpans {
		fields = nil
	}
	*r = requestHead{fields: fields}
}

// mostSpans is for how many fields memory is kept.
const mostSpans = 32

// note takes a field.
func (r *requestHead) note(name, value []byte, at span) {
	r.fields = append(r.fields, at)
	switch len(name) {
	case len("Host"):
		if sameFold(name, "host") {
			r.host = int32(len(r.fields))
		}
	case len("Pragma"): // Expect is as long
		switch {
		case sameFold(name, "pragma"):
			r.pragma = true
		case sameFold(name, "expect"):
			r.expects = true
			r.continues = r.continues || listHas(value, "100-continue")
		}
	case len("Trailer"):
		r.trailer = r.trailer || sameFold(name, "trailer")
	case len("Connection"):
		if sameFold(name, "connection") {
			r.closes = r.closes || listHas(value, "close")
			r.stays = r.stays || listHas(value, "keep-alive")
		}
	}
}

// ends reports whether the connection ends behind the request. RFC 9112, section 9.3.
func (h *head) ends() bool {
	return h.request.closes || h.minor == 0 && !h.request.stays
}

// sameFold reports whether s is lower, which is in lower case, whatever the case of s. Only letters of ASCII have a case: for
// strings.EqualFold U+017F is an s, and U+212A a k.
func sameFold[T string | []byte](s T, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// listHas reports whether a list has the token, which is in lower case. RFC 9110, section 5.6.1.
func listHas[T string | []byte](list T, token string) bool {
	for from, to := 0, 0; to <= len(list); to++ {
		if to < len(list) && list[to] != ',' {
			continue
		}
		item := list[from:to]
		for len(item) > 0 && isSpace(item[0]) {
			item = item[1:]
		}
		for len(item) > 0 && isSpace(item[len(item)-1]) {
			item = item[:len(item)-1]
		}
		if sameFold(item, token) {
			return true
		}
		from = to + 1
	}
	return false
}
