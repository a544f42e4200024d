package wssession_test

import (
	"fmt"
	"strings"
)

// kosme is a word with a character of three bytes among those of two.
const kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"

// characters are the cases of group 6: UTF-8.
func characters() (all []sends) {
	one := func(id, s string) {
		all = append(all, judged(id, s, whole(text, s)))
	}
	in := func(id, s string, parts ...string) {
		all = append(all, judged(id, s, fragments(text, parts...)...))
	}
	each := func(s string) (parts []string) {
		for i := range len(s) {
			parts = append(parts, s[i:i+1])
		}
		return parts
	}
	one("6.1.1", "")
	in("6.1.2", "", "", "", "")
	in("6.1.3", "middle frame payload", "", "middle frame payload", "")
	const greeting = "Hello-µ@ßöäüàá-UTF-8!!"
	one("6.2.1", greeting)
	in("6.2.2", greeting, "Hello-µ@ßöä", "üàá-UTF-8!!")
	in("6.2.3", greeting, each(greeting)...)
	in("6.2.4", kosme, each(kosme)...)
	const surrogate = kosme + "\xed\xa0\x80edited"
	one("6.3.1", surrogate)
	in("6.3.2", surrogate, each(surrogate)...)
	const beyond = kosme + "\xf4\x90\x80\x80edited"
	in("6.4.1", beyond, kosme, "\xf4\x90\x80\x80", "edited")
	in("6.4.2", beyond, kosme+"\xf4", "\x90", "\x80\x80edited")
	for i, cut := range []int{len(kosme), len(kosme) + 1} { // one frame, which comes in three pieces
		f := whole(text, beyond)
		head := len(f) - len(beyond)
		k := judged(fmt.Sprintf("6.4.%d", 3+i), beyond)
		k.pieces = [][]byte{f[:head+cut], f[head+cut : head+cut+3], f[head+cut+3:]}
		all = append(all, k)
	}
	for group, texts := range sequences() {
		for i, s := range texts {
			one(fmt.Sprintf("6.%d.%d", group, i+1), s)
		}
	}
	return all
}

// judged is a case with a text, which is echoed if it is UTF-8, and refused otherwise.
func judged(id, s string, frames ...[]byte) sends {
	if !isUTF8(s) {
		return fails(id, 0, 1007, nil, frames...)
	}
	return valid(id, 0, []string{got{text, []byte(s)}.String()}, frames...)
}

// isUTF8 follows the grammar of RFC 3629, section 4, and not the library that is tested.
func isUTF8(s string) bool {
	in := func(i int, low, high byte) bool { return i < len(s) && s[i] >= low && s[i] <= high }
	for s != "" {
		n := 0
		switch b := s[0]; {
		case b < 0x80:
			n = 1
		case in(0, 0xc2, 0xdf) && in(1, 0x80, 0xbf):
			n = 2
		case b == 0xe0 && in(1, 0xa0, 0xbf) || in(0, 0xe1, 0xec) && in(1, 0x80, 0xbf) || b == 0xed && in(1, 0x80, 0x9f) || in(0, 0xee, 0xef) && in(1, 0x80, 0xbf):
			n = 3
		case b == 0xf0 && in(1, 0x90, 0xbf) || in(0, 0xf1, 0xf3) && in(1, 0x80, 0xbf) || b == 0xf4 && in(1, 0x80, 0x8f):
			n = 4
		default:
			return false
		}
		for i := 2; i < n; i++ {
			if !in(i, 0x80, 0xbf) {
				return false
			}
		}
		s = s[n:]
	}
	return true
}

// sequences are the texts of subgroups 6.5 to 6.23, after Markus Kuhn's.
func sequences() map[int][]string {
	var prefixes, lonely, missing, nonCharacters []string
	for i := range len(kosme) {
		prefixes = append(prefixes, kosme[:i+1])
	}
	for _, r := range [][2]int{{0xc0, 0xdf}, {0xe0, 0xef}, {0xf0, 0xf7}, {0xf8, 0xfb}, {0xfc, 0xfd}} {
		s := ""
		for b := r[0]; b <= r[1]; b++ {
			s += string([]byte{byte(b), ' '})
		}
		lonely = append(lonely, s)
	}
	for i, b := range []byte{0xc0, 0xe0, 0xf0, 0xf8, 0xfc} {
		missing = append(missing, string([]byte{b})+strings.Repeat("\x80", i))
	}
	for i, b := range []byte{0xdf, 0xef, 0xf7, 0xfb, 0xfd} {
		missing = append(missing, string([]byte{b})+strings.Repeat("\xbf", i))
	}
	for plane := range rune(17) {
		nonCharacters = append(nonCharacters, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	continuations := ""
	for b := 0x80; b <= 0xbf; b++ {
		continuations += string([]byte{byte(b)})
	}
	return map[int][]string{
		5:  {"hello$world", "hello¢world", "hello€world", "hello\U00024b62world", kosme},
		6:  prefixes,
		7:  {"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
		8:  {"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		9:  {"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		10: {"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		11: {"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80"},
		12: {"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", continuations},
		13: lonely,
		14: missing,
		15: {strings.Join(missing, "")},
		16: {"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		17: {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		18: {"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		19: {"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		20: {"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		21: {
			"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
			"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf",
		},
		22: nonCharacters,
		23: {"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"},
	}
}
