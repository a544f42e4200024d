package http1

import "encoding/binary"

// Classes of bytes.
const (
	tokenByte  = 1 << iota // RFC 9110, section 5.6.2
	valueByte              // of a field value or a reason phrase: no control byte but HTAB. RFC 9110, section 5.5
	targetByte             // of a request target: visible ASCII without "#", for a target has no fragment
	hostByte               // of a registered name or an IPv4 address. RFC 3986, section 3.2.2
	pathByte               // of a path that means itself, and is written so. RFC 3986, section 3.3
	quotedByte             // within a quoted string, unescaped. RFC 9110, section 5.6.4
)

var classes = func() (table [256]uint8) {
	set := func(class uint8, bytes string) {
		for i := range len(bytes) {
			table[bytes[i]] |= class
		}
	}
	const alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	set(tokenByte, alnum+"!#$%&'*+-.^_`|~")
	set(pathByte, alnum+"/-._~$&+,:;=@")
	set(hostByte, alnum+"-._~%!$&'()*+,;=")
	for c := range 256 {
		if c == '\t' || c >= ' ' && c != 0x7f {
			table[c] |= valueByte
			if c != '"' && c != '\\' {
				table[c] |= quotedByte
			}
		}
		if c > ' ' && c < 0x7f && c != '#' {
			table[c] |= targetByte
		}
	}
	return table
}()

// indexInvalid returns the index of the first byte of s that is not in the class, or -1.
func indexInvalid[T string | []byte](s T, class uint8) int {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return i
		}
	}
	return -1
}

// isValue reports whether all bytes of s are in the class valueByte. It looks at eight at a time.
func isValue(s []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64(s)
		del := w ^ 0x7f*ones                                                                     // a byte of it is 0 where w has DEL
		if ((w-' '*ones)&^w|(del-ones)&^del)&highs != 0 && indexInvalid(s[:8], valueByte) >= 0 { // unless it is HTAB
			return false
		}
	}
	return indexInvalid(s, valueByte) < 0
}

func isToken[T string | []byte](s T) bool { return len(s) > 0 && indexInvalid(s, tokenByte) < 0 }

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// validHost reports whether s is empty, or a host with or without a port. RFC 9110, section 7.2; RFC 3986, section 3.2.
// A zone is not valid, because it means something on one machine only.
func validHost[T string | []byte](s T) bool {
	i := 0
	if len(s) > 0 && s[0] == '[' { // an IP literal
		for i = 1; i < len(s) && s[i] != ']'; i++ {
			if c := s[i]; c == '%' || c != ':' && classes[c]&hostByte == 0 {
				return false
			}
		}
		if i <= 1 || i == len(s) {
			return false
		}
		i++
	} else {
		for i < len(s) && classes[s[i]]&hostByte != 0 {
			i++
		}
	}
	if i == len(s) {
		return true
	}
	if s[i] != ':' || i == 0 {
		return false
	}
	for i++; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
