package websocket

import (
	"slices"
	"strconv"
	"strings"
)

// extension is one element of Sec-WebSocket-Extensions. RFC 6455, section 9.1.
type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	valued      bool // whether there is a value
}

const (
	deflateName       = "permessage-deflate"
	serverNoTakeover  = "server_no_context_takeover"
	clientNoTakeover  = "client_no_context_takeover"
	serverMaxWindow   = "server_max_window_bits"
	clientMaxWindow   = "client_max_window_bits"
	mostWindowBits    = 15
	leastWindowBits   = 8
	deflateWithoutAny = deflateName + "; " + serverNoTakeover + "; " + clientNoTakeover
)

// parseExtensions parses the values of Sec-WebSocket-Extensions. ok is false if one of them does not follow the grammar.
func parseExtensions(values []string) (all []extension, ok bool) {
	for _, value := range values {
		for rest := value; ; {
			if rest = strings.TrimLeft(rest, " \t,"); rest == "" { // elements may be empty: RFC 9110, section 5.6.1
				break
			}
			var e extension
			if e, rest, ok = parseExtension(rest); !ok {
				return nil, false
			}
			all = append(all, e)
		}
	}
	return all, true
}

// parseExtension parses one extension at the front of s, and returns what is behind it: nothing, or a comma.
func parseExtension(s string) (e extension, rest string, ok bool) {
	if e.name, s = cutToken(s); e.name == "" {
		return e, "", false
	}
	for s != "" && s[0] == ';' {
		var p param
		if p.name, s = cutToken(s[1:]); p.name == "" {
			return e, "", false
		}
		if s != "" && s[0] == '=' {
			p.valued = true
			if p.value, s = cutValue(s[1:]); p.value == "" {
				return e, "", false
			}
		}
		e.params = append(e.params, p)
	}
	return e, s, s == "" || s[0] == ','
}

// cutToken cuts a token and the space around it off the front of s. RFC 9110, section 5.6.2.
func cutToken(s string) (token, rest string) {
	s = strings.TrimLeft(s, " \t")
	n := 0
	for n < len(s) && isTokenByte(s[n]) {
		n++
	}
	return s[:n], strings.TrimLeft(s[n:], " \t")
}

// cutValue is cutToken for a value, which may be a token in quotes, with backslashes in front of any of its bytes. RFC
// 6455, section 9.1.
func cutValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t")
	if s == "" || s[0] != '"' {
		return cutToken(s)
	}
	var quoted []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && len(quoted) > 0:
			return string(quoted), strings.TrimLeft(s[i+1:], " \t")
		case c == '\\' && i+1 < len(s):
			i++
		}
		if !isTokenByte(s[i]) {
			break
		}
		quoted = append(quoted, s[i])
	}
	return "", s
}

func isTokenByte(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c))
}

// repeated reports whether a parameter of permessage-deflate occurs twice. There are four.
func (e *extension) repeated() bool {
	if len(e.params) > 4 {
		return true
	}
	for i, p := range e.params {
		if slices.ContainsFunc(e.params[:i], func(q param) bool { return q.name == p.name }) {
			return true
		}
	}
	return false
}

// windowBits returns the size of a window, and whether it is a valid one. RFC 7692, section 7.1.2.
func (p param) windowBits() (bits int, ok bool) {
	if !p.valued || len(p.value) > 2 || p.value[0] < '1' || p.value[0] > '9' {
		return 0, false
	}
	bits, err := strconv.Atoi(p.value)
	return bits, err == nil && bits >= leastWindowBits && bits <= mostWindowBits
}

// acceptDeflate returns the response to the first offer of permessage-deflate that a server can accept, or "".
// RFC 7692, section 7.1.
func acceptDeflate(offers []extension) string {
	for _, e := range offers {
		if e.name != deflateName || e.repeated() {
			continue
		}
		if response, ok := acceptOffer(e.params); ok {
			return response
		}
	}
	return ""
}

func acceptOffer(params []param) (response string, ok bool) {
	response = deflateWithoutAny
	for _, p := range params {
		switch p.name {
		case serverNoTakeover, clientNoTakeover:
			if p.valued {
				return "", false
			}
		case serverMaxWindow:
			if bits, ok := p.windowBits(); !ok || bits < mostWindowBits { // compress/flate has one window
				return "", false
			}
			response += "; " + serverMaxWindow + "=" + strconv.Itoa(mostWindowBits)
		case clientMaxWindow: // a hint, which need not be answered
			if _, ok := p.windowBits(); p.valued && !ok {
				return "", false
			}
		default:
			return "", false
		}
	}
	return response, true
}

// checkDeflate returns what is wrong with the extensions of a server's response to the offer deflateWithoutAny, or "".
// RFC 7692, section 7.1.
func checkDeflate(response []extension) (fault string) {
	if len(response) != 1 || response[0].name != deflateName {
		return "the server has agreed to extensions that were not offered"
	}
	if response[0].repeated() {
		return "the server has agreed to " + deflateName + " with a parameter given twice"
	}
	forgets := false
	for _, p := range response[0].params {
		switch _, isWindow := p.windowBits(); {
		case p.name == serverNoTakeover && !p.valued:
			forgets = true
		case p.name == clientNoTakeover && !p.valued:
		case p.name == serverMaxWindow && isWindow: // a smaller window can be read, too
		default:
			return "the server has agreed to " + deflateName + " with " + p.name + ", which was not offered so"
		}
	}
	if !forgets {
		return "the server has agreed to " + deflateName + " without " + serverNoTakeover
	}
	return ""
}
