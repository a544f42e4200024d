package wssession_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// The cases of the Autobahn test suite, by their numbers, written from RFC 6455. Each is what a client sends to an echo
// server, in pieces, and what has to come back before the server ends the connection. Behind what is valid the client sends a
// Close.

// sends is what a case sends.
type sends struct {
	id     string
	pieces [][]byte
	chop   int      // pieces are cut into pieces of so many bytes; 0: they are not
	want   []string // what comes back
}

const hello = "Hello, world!"

// ends is the Close of a client, and its answer.
var ends = whole(closes, code(1000, ""))

const ended = "close 1000"

// valid is a case that ends well.
func valid(id string, chop int, want []string, frames ...[]byte) sends {
	return sends{id, append(frames, ends), chop, append(want, ended)}
}

// fails is a case that the server ends with a code.
func fails(id string, chop, status int, want []string, frames ...[]byte) sends {
	return sends{id, frames, chop, append(want, fmt.Sprintf("close %d", status))}
}

func bin(n int) string { return strings.Repeat("\xfe", n) }

// fragments makes a message in fragments of a client.
func fragments(opcode int, parts ...string) (frames [][]byte) {
	for i, part := range parts {
		frames = append(frames, wire(opcode, i == len(parts)-1, 0, []byte(part)))
		opcode = continuation
	}
	return frames
}

func framing() (all []sends) {
	for group, opcode := range map[string]int{"1.1": text, "1.2": binaryFrame} {
		for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
			payload := strings.Repeat("*", n)
			if opcode == binaryFrame {
				payload = bin(n)
			}
			chop := 0
			if i == 7 {
				chop = 997
			}
			all = append(all, valid(fmt.Sprintf("%s.%d", group, i+1), chop, []string{got{opcode, []byte(payload)}.String()}, whole(opcode, payload)))
		}
	}
	return all
}

func pings() []sends {
	ten, pongs := [][]byte{}, []string{}
	for i := range 10 {
		ten = append(ten, whole(ping, fmt.Sprintf("payload-%d", i)))
		pongs = append(pongs, fmt.Sprintf("pong payload-%d", i))
	}
	const odd = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	return []sends{
		valid("2.1", 0, []string{"pong "}, whole(ping, "")),
		valid("2.2", 0, []string{"pong " + hello}, whole(ping, hello)),
		valid("2.3", 0, []string{"pong " + odd}, whole(ping, odd)),
		valid("2.4", 0, []string{"pong " + bin(125)}, whole(ping, bin(125))),
		fails("2.5", 0, 1002, nil, whole(ping, bin(126))),
		valid("2.6", 1, []string{"pong " + bin(125)}, whole(ping, bin(125))),
		valid("2.7", 0, nil, whole(pong, "")),
		valid("2.8", 0, nil, whole(pong, "unsolicited pong payload")),
		valid("2.9", 0, []string{"pong ping payload"}, whole(pong, "unsolicited pong payload"), whole(ping, "ping payload")),
		valid("2.10", 0, pongs, ten...),
		valid("2.11", 1, pongs, ten...),
	}
}

// reserved are the cases of groups 3 and 4: reserved bits and opcodes.
func reserved() (all []sends) {
	small, echoed := whole(text, hello), []string{"text " + hello}
	bits := func(opcode, rsv int, payload string) []byte { return wire(opcode, true, rsv, []byte(payload)) }
	all = []sends{
		fails("3.1", 0, 1002, nil, bits(text, 1, hello)),
		fails("3.2", 0, 1002, echoed, small, bits(text, 2, hello), whole(ping, "")),
		fails("3.3", 0, 1002, echoed, small, bits(text, 3, hello), whole(ping, "")),
		fails("3.4", 1, 1002, echoed, small, bits(text, 4, hello), whole(ping, "")),
		fails("3.5", 0, 1002, nil, bits(binaryFrame, 5, bin(8))),
		fails("3.6", 0, 1002, nil, bits(ping, 6, hello)),
		fails("3.7", 0, 1002, nil, bits(closes, 7, code(1000, ""))),
	}
	for group, opcode := range map[string]int{"4.1": 3, "4.2": 11} {
		all = append(all,
			fails(group+".1", 0, 1002, nil, whole(opcode, "")),
			fails(group+".2", 0, 1002, nil, whole(opcode+1, "reserved opcode payload")),
			fails(group+".3", 0, 1002, echoed, small, whole(opcode+2, ""), whole(ping, "")),
			fails(group+".4", 0, 1002, echoed, small, whole(opcode+3, hello), whole(ping, "")),
			fails(group+".5", 1, 1002, echoed, small, whole(opcode+4, hello), whole(ping, "")))
	}
	return all
}

func fragmentation() (all []sends) {
	both := fragments(text, "fragment1", "fragment2")
	echoed := []string{"text fragment1fragment2"}
	between := [][]byte{both[0], whole(ping, "ping payload"), both[1]}
	ponged := append([]string{"pong ping payload"}, echoed...)
	loose := func(fin bool) []byte { return wire(continuation, fin, 0, []byte("non-continuation payload")) }
	half := func(opcode int) []byte { return wire(opcode, false, 0, []byte("fragment1")) }
	joined := func(frames [][]byte) []byte { return []byte(strings.Join(asStrings(frames), "")) }
	all = []sends{
		fails("5.1", 0, 1002, nil, half(ping), both[1]),
		fails("5.2", 0, 1002, nil, half(pong), both[1]),
		valid("5.3", 0, echoed, joined(both)),
		valid("5.4", 0, echoed, both...),
		valid("5.5", 1, echoed, both...),
		valid("5.6", 0, ponged, joined(between)),
		valid("5.7", 0, ponged, between...),
		valid("5.8", 1, ponged, between...),
	}
	for i, fin := range []bool{true, false} {
		for j, chop := range []int{0, 0, 1} {
			frames := [][]byte{loose(fin), whole(text, hello)}
			if j == 0 {
				frames = [][]byte{joined(frames)}
			}
			all = append(all, fails(fmt.Sprintf("5.%d", 9+3*i+j), chop, 1002, nil, frames...))
		}
	}
	five := fragments(text, "fragment1", "fragment2", "fragment3", "fragment4", "fragment5")
	pinged := [][]byte{five[0], five[1], whole(ping, "pongme 1!"), five[2], five[3], whole(ping, "pongme 2!"), five[4]}
	fivefold := []string{"pong pongme 1!", "pong pongme 2!", "text fragment1fragment2fragment3fragment4fragment5"}
	return append(all,
		fails("5.15", 0, 1002, echoed, both[0], both[1], loose(false), whole(text, hello)),
		fails("5.16", 0, 1002, nil, loose(false), half(text), both[1], loose(false), half(text), both[1]),
		fails("5.17", 0, 1002, nil, loose(true), half(text), both[1], loose(true), half(text), both[1]),
		fails("5.18", 0, 1002, nil, half(text), whole(text, "fragment2")),
		valid("5.19", 0, fivefold, joined(pinged)),
		valid("5.20", 0, fivefold, pinged...))
}

func asStrings(frames [][]byte) (all []string) {
	for _, f := range frames {
		all = append(all, string(f))
	}
	return all
}

func closeHandshake() (all []sends) {
	long := strings.Repeat("x", 256<<10)
	all = []sends{
		{"7.1.1", [][]byte{whole(text, hello), ends}, 0, []string{"text " + hello, ended}},
		{"7.1.2", [][]byte{ends, ends}, 0, []string{ended}},
		{"7.1.3", [][]byte{ends, whole(ping, "")}, 0, []string{ended}},
		{"7.1.4", [][]byte{ends, whole(text, hello)}, 0, []string{ended}},
		{"7.1.5", [][]byte{wire(text, false, 0, []byte("fragment1")), ends, wire(continuation, true, 0, []byte("fragment2"))}, 0, []string{ended}},
		{"7.1.6", [][]byte{whole(text, long), ends, whole(ping, "")}, 0, []string{"text of 262144", ended}},
		{"7.3.1", [][]byte{whole(closes, "")}, 0, []string{"close"}},
		{"7.3.2", [][]byte{whole(closes, "a")}, 0, []string{"close 1002"}},
		{"7.3.3", [][]byte{whole(closes, code(1000, ""))}, 0, []string{ended}},
		{"7.3.4", [][]byte{whole(closes, code(1000, "Hello World!"))}, 0, []string{ended}},
		{"7.3.5", [][]byte{whole(closes, code(1000, strings.Repeat("*", 123)))}, 0, []string{ended}},
		{"7.3.6", [][]byte{whole(closes, code(1000, strings.Repeat("*", 124)))}, 0, []string{"close 1002"}},
		{"7.5.1", [][]byte{whole(closes, code(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"))}, 0, []string{"close 1007"}},
	}
	for i, n := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, sends{fmt.Sprintf("7.7.%d", i+1), [][]byte{whole(closes, code(n, ""))}, 0, []string{fmt.Sprintf("close %d", n)}})
	}
	for i, n := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		all = append(all, fails(fmt.Sprintf("7.9.%d", i+1), 0, 1002, nil, whole(closes, code(n, ""))))
	}
	return append(all, fails("7.13.1", 0, 1002, nil, whole(closes, code(5000, ""))), fails("7.13.2", 0, 1002, nil, whole(closes, code(65535, ""))))
}

// TestAutobahn, of W01, has groups 1 to 7, and 10.
func TestAutobahn(t *testing.T) {
	var cases []sends
	for _, group := range [][]sends{framing(), pings(), reserved(), fragmentation(), characters(), closeHandshake(), miscellaneous()} {
		cases = append(cases, group...)
	}
	seen := map[string]bool{}
	for _, k := range cases {
		require.False(t, seen[k.id], k.id)
		seen[k.id] = true
	}
	require.Len(t, seen, 247, "numbers")
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		address := listen(t, tr, echo{}, nil)
		for _, k := range cases {
			t.Run(k.id, func(t *testing.T) {
				p := dialPeer(t, address, "")
				if k.chop == 1 {
					_ = p.Conn.(interface{ SetNoDelay(bool) error }).SetNoDelay(true)
				}
				go func() {
					for _, b := range k.pieces {
						p.send(b, k.chop)
					}
				}()
				assert.Equal(t, k.want, p.all(t))
			})
		}
	})
}

func miscellaneous() []sends {
	payload := strings.Repeat("*", 65536)
	var parts []string
	for rest := payload; rest != ""; {
		n := min(1300, len(rest))
		parts = append(parts, rest[:n])
		rest = rest[n:]
	}
	return []sends{valid("10.1.1", 0, []string{"text of 65536"}, fragments(text, parts...)...)}
}
