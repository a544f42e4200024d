package wssession_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/wssession"
)

// Groups 9, 12 and 13 of the suite: large messages, many messages, compressed messages. The sizes are those of the suite. Where
// it sends a thousand messages of a size, these tests send as many of them as make a bounded number of bytes.

// bulk is a number of messages of a size that an echo server sends back.
type bulk struct {
	id       string
	opcode   int
	size     int
	fragment int // size of fragments; 0: the messages are whole
	chop     int // size of the pieces that are written; 0: all at once
	count    int
}

func limits() (all []bulk) {
	add := func(id string, opcode, size, fragment, chop, count int) {
		all = append(all, bulk{id, opcode, size, fragment, chop, count})
	}
	for i, opcode := range []int{text, binaryFrame} {
		for j, n := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20} {
			add(fmt.Sprintf("9.%d.%d", 1+i, j+1), opcode, n, 0, 0, 1)
		}
		for j, n := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
			add(fmt.Sprintf("9.%d.%d", 3+i, j+1), opcode, 4<<20, n, 0, 1)
		}
		for j, n := range []int{64, 128, 256, 512, 1 << 10, 2 << 10} {
			add(fmt.Sprintf("9.%d.%d", 5+i, j+1), opcode, 1<<20, 0, n, 1)
		}
		for j, n := range []int{0, 16, 64, 256, 1 << 10, 4 << 10} {
			add(fmt.Sprintf("9.%d.%d", 7+i, j+1), opcode, n, 0, 0, 1000)
		}
	}
	return all
}

// plays sends a case's messages and checks the echo. messages makes the one of a number.
func (k bulk) plays(t *testing.T, p *peer, packed bool, message func(i int) []byte) {
	go func() {
		var out []byte
		for i := range k.count {
			out = append(out, k.encoded(message(i), packed)...)
			if k.size > 4096 || len(out) > 64<<10 {
				p.send(out, k.chop)
				out = out[:0]
			}
		}
		p.send(append(out, ends...), k.chop)
	}()
	for i := range k.count {
		g, err := p.next()
		require.NoError(t, err, "message %d of %d", i, k.count)
		require.Equal(t, k.opcode, g.opcode)
		require.True(t, bytes.Equal(message(i), g.payload), "message %d: %d bytes", i, len(g.payload))
	}
	assert.Equal(t, []string{ended}, p.all(t))
}

// encoded makes the frames of a message.
func (k bulk) encoded(message []byte, packed bool) (out []byte) {
	rsv := 0
	if packed {
		message, rsv = deflated(message), 4
	}
	if k.fragment == 0 {
		return wire(k.opcode, true, rsv, message)
	}
	opcode := k.opcode
	for first := true; first || len(message) > 0; first = false {
		n := min(k.fragment, len(message))
		out = append(out, wire(opcode, n == len(message), rsv, message[:n])...)
		message, opcode, rsv = message[n:], continuation, 0
	}
	return out
}

// flates are contexts for compression, which are dear.
var flates = sync.Pool{New: func() any {
	f := new(flateContext)
	f.w, _ = flate.NewWriter(nil, flate.BestSpeed)
	f.r = flate.NewReader(nil)
	return f
}}

type flateContext struct {
	w *flate.Writer
	r io.ReadCloser
}

func deflated(p []byte) []byte {
	f := flates.Get().(*flateContext)
	defer flates.Put(f)
	var out bytes.Buffer
	f.w.Reset(&out)
	_, _ = f.w.Write(p)
	_ = f.w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte("\x00\x00\xff\xff"))
}

func inflated(p []byte) ([]byte, error) {
	f := flates.Get().(*flateContext)
	defer flates.Put(f)
	p = append(p, "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...)
	if err := f.r.(flate.Resetter).Reset(bytes.NewReader(p), nil); err != nil {
		return nil, err
	}
	return io.ReadAll(f.r)
}

// brief reports whether a test is to take less time than it would.
func brief() bool { return testing.Short() || raceEnabled }

// TestAutobahnLimits, of W01, has group 9.
func TestAutobahnLimits(t *testing.T) {
	require.Len(t, limits(), 54)
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		address := listen(t, tr, echo{}, nil)
		for _, k := range limits() {
			if brief() && k.size > 1<<20 && k.fragment != 64<<10 {
				continue
			}
			if brief() {
				k.count = min(k.count, 100)
			}
			message := []byte(strings.Repeat("*", k.size))
			t.Run(k.id, func(t *testing.T) {
				k.plays(t, dialPeer(t, address, ""), false, func(int) []byte { return message })
			})
		}
	})
}

// corpora are the kinds of messages of subgroups 12.1 to 12.5: JSON, prose, a bitmap, noise, and source text.
func corpora() []struct {
	opcode int
	data   []byte
} {
	random := rand.New(rand.NewSource(1))
	var json, prose, source strings.Builder
	bitmap, noise := make([]byte, 1<<20), make([]byte, 1<<20)
	for i := 0; json.Len() < 1<<20; i++ {
		fmt.Fprintf(&json, `{"id":%d,"name":"n%x","tags":["one","two"],"position":{"x":%.3f}},`, i, random.Int63(), random.Float64())
	}
	words := strings.Fields("Habe nun ach Philosophie Juristerei und Medizin und leider auch Theologie durchaus studiert mit heißem Bemühn")
	for prose.Len() < 1<<20 {
		prose.WriteString(words[random.Intn(len(words))] + " ")
	}
	for i := 0; source.Len() < 1<<20; i++ {
		fmt.Fprintf(&source, "\tif x%d := f(%d); x%d != nil {\n\t\treturn x%d\n\t}\n", i%97, random.Intn(1000), i%97, i%97)
	}
	for i := range bitmap {
		bitmap[i] = byte(i/4096) + byte(random.Intn(4))
	}
	random.Read(noise)
	return []struct {
		opcode int
		data   []byte
	}{{text, []byte(json.String())}, {text, []byte(prose.String())}, {binaryFrame, bitmap}, {binaryFrame, noise}, {text, []byte(source.String())}}
}

// deflateSizes are the sizes of messages, and of fragments, in each subgroup of 12 and 13.
var deflateSizes = [18][2]int{
	{16}, {64}, {256}, {1 << 10}, {4 << 10}, {8 << 10}, {16 << 10}, {32 << 10}, {64 << 10}, {128 << 10},
	{8 << 10, 256}, {16 << 10, 256}, {32 << 10, 256}, {64 << 10, 256}, {128 << 10, 256},
	{128 << 10, 1 << 10}, {128 << 10, 4 << 10}, {128 << 10, 32 << 10},
}

// offers are what the client of subgroups 13.1 to 13.7 offers, and whether that can be agreed upon.
var offers = []struct {
	offer   string
	accepts bool
}{
	{"permessage-deflate; client_max_window_bits", true},
	{"permessage-deflate; client_max_window_bits; server_no_context_takeover", true},
	{"permessage-deflate; client_max_window_bits; server_max_window_bits=9", false},
	{"permessage-deflate; client_max_window_bits; server_max_window_bits=15", true},
	{"permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9", false},
	{"permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=15", true},
	{"permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9, " +
		"permessage-deflate; client_max_window_bits; server_no_context_takeover, permessage-deflate; client_max_window_bits", true},
}

// TestAutobahnDeflate, of W01, has groups 12 and 13.
func TestAutobahnDeflate(t *testing.T) {
	total := 128 << 10 // bytes of messages in each case
	if brief() {
		total = 4 << 10
	}
	all := corpora()
	onEachBackend(t, func(t *testing.T, tr tandem.Transport) {
		address := listen(t, tr, echo{}, &wssession.ServerOptions{Options: wssession.Options{Compression: true, CompressionThreshold: 1}})
		for group := range 5 + len(offers) {
			corpus, offer, accepts := all[group%5], "permessage-deflate; client_max_window_bits", true
			name := fmt.Sprintf("12.%d", group+1)
			if group >= 5 {
				corpus, offer, accepts = all[0], offers[group-5].offer, offers[group-5].accepts
				name = fmt.Sprintf("13.%d", group-4)
			}
			for i, sizes := range deflateSizes {
				if brief() && sizes[0] > 32<<10 && i%5 != group%5 {
					continue
				}
				k := bulk{fmt.Sprintf("%s.%d", name, i+1), corpus.opcode, sizes[0], sizes[1], 0, min(max(total/sizes[0], 1), 1000)}
				t.Run(k.id, func(t *testing.T) {
					p := dialPeer(t, address, offer)
					require.Equal(t, accepts, p.deflated, "%s", p.answer.Header)
					k.plays(t, p, accepts, func(i int) []byte { return cutOf(corpus.data, i*k.size, k.size, corpus.opcode) })
				})
			}
		}
	})
}

// cutOf returns about size bytes of a corpus, whole characters of a text.
func cutOf(data []byte, at, size, opcode int) []byte {
	at %= len(data) - size - 4
	end := at + size
	if opcode == text {
		for data[at]&0xc0 == 0x80 {
			at++
		}
		for data[end]&0xc0 == 0x80 {
			end++
		}
	}
	return data[at:end]
}
