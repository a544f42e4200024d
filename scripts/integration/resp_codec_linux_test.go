package integration

import (
	"bytes"
	"io"
	"strconv"
	"testing"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
)

// respCommands is the format of the commands that a Redis server gets, as an example of a codec that is written from
// scratch: an array of bulk strings, or a line of words.
//
//	*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n
//	ECHO hello\r\n
//
// The message is the words, at least one of which is there unless the array or the line is empty. They refer to the bytes
// they were decoded from, and the slice of them is the Decoder's.
type respCommands struct{}

const (
	respMost     = 16 << 20 // size of the largest command, in bytes
	respMostLine = 64 << 10 // of that the most in one line
	respMostArgs = 1 << 16
)

func (respCommands) MaxSize() int { return respMost }

func (respCommands) NewDecoder() frame.Decoder[[][]byte] { return &respDecoder{} }

func (respCommands) Append(dst []byte, m [][]byte) ([]byte, error) {
	out := appendRESP(dst, '*', len(m))
	for _, word := range m {
		out = append(append(appendRESP(out, '$', len(word)), word...), "\r\n"...)
	}
	if len(m) > respMostArgs || len(out)-len(dst) > respMost {
		return dst, &frame.Error{Codec: "RESP", What: "a command of too many words or bytes", Err: frame.ErrTooLarge}
	}
	return out, nil
}

func appendRESP(dst []byte, kind byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, kind), int64(n), 10), "\r\n"...)
}

// respDecoder knows where the words are that it has found. It keeps positions and no slices, because the next p may be in
// other memory.
type respDecoder struct {
	at      int      // bytes at the front that have been parsed
	scanned int      // bytes that have no line feed, or are parsed
	begun   bool     // whether the number of words is known
	missing int      // number of words that have not been parsed
	size    int      // of the next word; negative: not known
	words   [][2]int // where the words begin and end
	m       [][]byte
}

func (d *respDecoder) Decode(p []byte) (m [][]byte, n, need int, err error) {
	if len(p) == 0 {
		return nil, 0, 1, nil
	}
	if !d.begun {
		line, need, err := d.line(p)
		switch {
		case need > 0 || err != nil:
			return nil, 0, need, err
		case p[0] != '*': // a line of words
			d.m = d.m[:0]
			for word := range bytes.FieldsSeq(line) {
				d.m = append(d.m, word)
			}
			n = d.reset()
			return d.m, n, 0, nil
		}
		if d.missing, err = respNumber(line, 0, respMostArgs); err != nil {
			return nil, 0, 0, err
		}
		d.begun, d.size = true, -1
	}
	for d.missing > 0 {
		if need, err = d.word(p); need > 0 || err != nil {
			return nil, 0, need, err
		}
	}
	d.m = d.m[:0]
	for _, w := range d.words {
		d.m = append(d.m, p[w[0]:w[1]:w[1]])
	}
	n = d.reset()
	return d.m, n, 0, nil
}

// reset begins with the next command, and returns the size of this one.
func (d *respDecoder) reset() (n int) {
	n = d.at
	*d = respDecoder{words: d.words[:0], m: d.m}
	return n
}

// line parses a line, without its end.
func (d *respDecoder) line(p []byte) (line []byte, need int, err error) {
	i := bytes.IndexByte(p[d.scanned:], '\n')
	switch {
	case i < 0 && len(p)-d.at > respMostLine:
		return nil, 0, respError(d.at, "a line of more than 64 KiB", frame.ErrTooLarge)
	case i < 0:
		d.scanned = len(p)
		return nil, 1, nil
	}
	line = p[d.at : d.scanned+i]
	d.scanned += i + 1
	d.at = d.scanned
	return bytes.TrimSuffix(line, []byte("\r")), 0, nil
}

// word parses a bulk string.
func (d *respDecoder) word(p []byte) (need int, err error) {
	if d.size < 0 {
		begin := d.at
		line, need, err := d.line(p)
		switch {
		case need > 0 || err != nil:
			return need, err
		case len(line) == 0 || line[0] != '$':
			return 0, respError(begin, "a word without $", frame.ErrMalformed)
		}
		if d.size, err = respNumber(line, begin, respMost-d.at-2); err != nil {
			return 0, err
		}
	}
	end := d.at + d.size
	switch {
	case len(p) < end+2:
		return end + 2 - len(p), nil
	case p[end] != '\r' || p[end+1] != '\n':
		return 0, respError(end, "a word does not end where it says", frame.ErrMalformed)
	}
	d.words = append(d.words, [2]int{d.at, end})
	d.at, d.scanned, d.size = end+2, end+2, -1
	d.missing--
	return 0, nil
}

// respNumber parses the number behind the first byte of a line that begins at at.
func respNumber(line []byte, at, most int) (n int, err error) {
	number, err := strconv.ParseUint(string(line[1:]), 10, 31)
	switch {
	case err != nil:
		return 0, respError(at, "a number: "+err.Error(), frame.ErrMalformed)
	case int(number) > most:
		return 0, respError(at, "a number of "+strconv.Itoa(int(number)), frame.ErrTooLarge)
	}
	return int(number), nil
}

func respError(at int, what string, kind error) error {
	return &frame.Error{Codec: "RESP", Offset: int64(at), What: what, Err: kind}
}

func (d *respDecoder) End(p []byte) (m [][]byte, ok bool, err error) {
	if len(p) == 0 {
		return nil, false, nil
	}
	return nil, false, respError(len(p), "the peer finished within a command", io.ErrUnexpectedEOF)
}

// TestRESPCodec holds the codec to the contract.
func TestRESPCodec(t *testing.T) {
	frametest.Run(t, frametest.Subject[[][]byte]{
		Codec: respCommands{},
		Message: func(raw []byte) (m [][]byte) {
			m = [][]byte{[]byte("SET")}
			for word := range bytes.SplitSeq(raw, []byte("0")) {
				m = append(m, append([]byte{}, word...))
			}
			return m
		},
		Clone: func(m [][]byte) (clone [][]byte) {
			clone = [][]byte{}
			for _, word := range m {
				clone = append(clone, append([]byte{}, word...))
			}
			return clone
		},
		TooLarge: [][][]byte{{make([]byte, respMost)}, make([][]byte, respMostArgs+1)},
		Mislead: func(seen []byte) {
			if len(seen) > 3 {
				copy(seen, "*1\r\n")
			}
		},
		InPlace:      func(m [][]byte) []byte { return m[1] },
		NoAllocation: true,
	})
}
