package frametest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

const mostPayload = 1 << 20

// format is a length in four bytes, big-endian, a payload, and an exclamation mark. With a fault it breaks the contract.
type format struct{ fault string }

func (f format) MaxSize() int {
	if f.fault == "a small MaxSize" {
		return 100
	}
	return 5 + mostPayload
}

var shared = &decoder{format: format{"one Decoder for all"}}

func (f format) NewDecoder() frame.Decoder[[]byte] {
	if f.fault == shared.fault {
		return shared
	}
	return &decoder{format: f}
}

var sink []byte

func (f format) Append(dst, m []byte) ([]byte, error) {
	if len(m) > mostPayload && f.fault != "Append has no limit" {
		err := &frame.Error{Codec: "format", What: "much", Err: frame.ErrTooLarge}
		switch f.fault {
		case "Append fails and returns nothing":
			return nil, err
		case "Append fails and leaves a part":
			return append(dst, 0), err
		case "Append fails otherwise":
			return dst, errors.New("too large")
		}
		return dst, err
	}
	out := binary.BigEndian.AppendUint32(dst, uint32(len(m)))
	out = append(append(out, m...), '!')
	switch {
	case f.fault == "Append forgets what is in front":
		return out[len(dst):], nil
	case f.fault == "Append changes what is in front" && len(dst) > 0:
		out[0] ^= 1
	case f.fault == "Append changes the message" && len(m) > 0:
		m[0] ^= 1
	case f.fault == "Append loses a byte" && len(m) > 3:
		out[len(dst)+6] = 0
	case f.fault == "Append allocates":
		sink = make([]byte, 1)
	case f.fault == "Append fails":
		return dst, errors.New("no")
	}
	return out, nil
}

type decoder struct {
	format
	size int
	kept []byte
}

func (d *decoder) wrong(offset int, kind error) error {
	switch d.fault {
	case "an error of another type":
		return kind
	case "an error of another kind":
		if kind != io.ErrUnexpectedEOF {
			kind = io.ErrNoProgress
		}
	case "an error without text":
		return &frame.Error{Codec: "format", Offset: int64(offset), Err: kind}
	case "an offset behind the bytes":
		offset = 1 << 20
	case "a negative offset":
		offset = -1 << 20
	}
	return &frame.Error{Codec: "format", Offset: int64(offset), What: "wrong", Err: kind}
}

func (d *decoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if d.fault == "it looks again" {
		d.size = 0
	}
	if d.size == 0 {
		if need = d.missing(p); need > 0 {
			return nil, 0, need, nil
		}
		if need, err = d.measure(p); err != nil || need < 0 {
			return nil, max(0, need), need, err
		}
	}
	if len(p) < d.size {
		return d.incomplete(p)
	}
	return d.whole(p)
}

func (d *decoder) missing(p []byte) int {
	switch {
	case d.fault == "it keeps the bytes" && len(d.kept) == 0 && len(p) > 0:
		d.kept = p
	case d.fault == "it guesses the size" && len(p) < 4:
		return 10 - len(p)
	}
	return max(0, 4-len(p))
}

func (d *decoder) measure(p []byte) (need int, err error) {
	header := p
	if len(d.kept) >= 4 {
		header = d.kept
	} else if len(d.kept) > 0 {
		header = append(bytes.Clone(d.kept), p[len(d.kept):]...)
	}
	said := binary.BigEndian.Uint32(header)
	switch {
	case d.fault == "it panics" && said == 0xffffffff || d.fault == "it panics" && said > mostPayload:
		panic("a length")
	case d.fault == "it allocates what is claimed" && said <= mostPayload:
		d.kept = make([]byte, said)[:0]
	case d.fault == "it reads everything" && said < 1<<30:
	case d.fault == "it skips nothing" && said > mostPayload:
		return 0, &frame.Error{Codec: "format", What: "skipped", Err: frame.ErrTooLarge, Skipped: true}
	case d.fault == "it needs a negative number":
		return -1, nil
	case said > mostPayload:
		return 0, d.wrong(0, frame.ErrTooLarge)
	}
	d.size = 5 + int(said)
	return 0, nil
}

func (d *decoder) incomplete(p []byte) (m []byte, n, need int, err error) {
	need = d.size - len(p)
	switch d.fault {
	case "it needs nothing":
		return nil, 0, 0, nil
	case "it needs too much":
		return nil, 0, need + 1, nil
	case "it wants messages whole":
		return nil, 0, 0, d.wrong(0, frame.ErrMalformed)
	case "a message and a need":
		return p[4:], 0, need, nil
	}
	return nil, 0, need, nil
}

func (d *decoder) whole(p []byte) (m []byte, n, need int, err error) {
	n = d.size
	d.size, d.kept = 0, nil
	m = p[4 : n-1 : n-1]
	if d.fault == "a message and an error" && p[n-1] != '!' {
		return m, 0, 0, d.wrong(n-1, frame.ErrMalformed)
	}
	if end := p[n-1]; end != '!' && d.fault != "an offset that depends on pieces" {
		return nil, 0, 0, d.wrong(n-1, frame.ErrMalformed)
	} else if end != '!' {
		return nil, 0, 0, d.wrong(len(p), frame.ErrMalformed)
	}
	switch d.fault {
	case "it takes more than there is":
		n = len(p) + 1
	case "it takes everything":
		n = len(p)
	case "it takes nothing":
		n = 0
	case "it changes the bytes":
		p[0] ^= 1
	case "messages are copies":
		m = bytes.Clone(m)
	case "messages can grow into the next":
		m = p[4 : n-1]
	case "empty messages are nil":
		if len(m) == 0 {
			m = nil
		}
	case "it does not forget":
		d.size = n
	case "it allocates":
		sink = make([]byte, 1)
	}
	return m, n, 0, nil
}

func (d *decoder) End(p []byte) (m []byte, ok bool, err error) {
	unfinished := d.wrong(len(p), io.ErrUnexpectedEOF)
	switch {
	case d.fault == "End is silent":
		return nil, false, nil
	case d.fault == "End has a message":
		return []byte("end"), true, nil
	case d.fault == "End has a message and an error" && len(p) > 0:
		return p, true, unfinished
	case d.fault == "End has a message and says no" && len(p) > 0:
		return p, false, nil
	case d.fault == "End fails otherwise" && len(p) > 0:
		return nil, false, d.wrong(0, frame.ErrMalformed)
	case d.fault == "End always fails" || len(p) > 0:
		return nil, false, unfinished
	}
	return nil, false, nil
}

func subject(fault string) Subject[[]byte] {
	s := Bytes(format{fault}, nil)
	s.TooLarge = [][]byte{make([]byte, mostPayload+1)}
	s.Mislead = func(seen []byte) {
		if len(seen) >= 4 {
			copy(seen, "\xff\xff\xff\xff")
		}
	}
	return s
}

// TestRun holds a format without a fault to everything.
func TestRun(t *testing.T) { Run(t, subject("")) }

// TestFaults has codecs with a fault each: the property that is about it must not hold, and says why.
func TestFaults(t *testing.T) {
	for _, c := range []struct{ fault, property, says string }{
		{"a small MaxSize", "every split", "MaxSize is 100"},
		{"one Decoder for all", "independent Decoders", "of two Decoders"},
		{"Append has no limit", "Append refuses", "too large"},
		{"Append fails and returns nothing", "Append refuses", "returns"},
		{"Append fails and leaves a part", "Append refuses", "returns"},
		{"Append fails otherwise", "Append refuses", "no *frame.Error"},
		{"Append forgets what is in front", "Append", `"front"`},
		{"Append changes what is in front", "Append", `"front"`},
		{"Append changes the message", "Append", "changed the message"},
		{"Append loses a byte", "round trip", "want"},
		{"Append allocates", "no allocation", "Append 1 times"},
		{"Append fails", "round trip", "Append("},
		{"an error of another type", "any bytes", "no *frame.Error"},
		{"an error of another kind", "any bytes", "kind of error"},
		{"an error without text", "any bytes", "lacks Codec or What"},
		{"an offset behind the bytes", "any bytes", "offset 1048576"},
		{"a negative offset", "any bytes", "offset -1048576"},
		{"an offset that depends on pieces", "any bytes", "byte by byte"},
		{"it looks again", "no second look", "changed after it has seen them"},
		{"it keeps the bytes", "every split", "want"},
		{"it guesses the size", "every split", "before that it has said"},
		{"it panics", "any bytes", "a panic after Decode("},
		{"it allocates what is claimed", "any bytes", "have allocated"},
		{"it reads everything", "any bytes", "more than MaxSize"},
		{"it skips nothing", "any bytes", "a message of no bytes"},
		{"it needs a negative number", "every split", "negative"},
		{"it needs nothing", "every split", "a message of no bytes"},
		{"it needs too much", "every split", "before that it has said"},
		{"it wants messages whole", "every split", "cut at [4]"},
		{"a message and an error", "any bytes", "a message, and an error"},
		{"a message and a need", "every split", "a message, and a need"},
		{"it takes more than there is", "every split", "it has consumed 321 of 320 bytes"},
		{"it takes everything", "every split", "want"},
		{"it takes nothing", "every split", "a message of no bytes"},
		{"it changes the bytes", "every split", "changed the bytes"},
		{"messages are copies", "in place", "a copy"},
		{"messages can grow into the next", "in place", "after an append"},
		{"empty messages are nil", "every split", "is nil"},
		{"it does not forget", "every split", "got"},
		{"it allocates", "no allocation", "Decode has allocated 1 times"},
		{"End is silent", "every split", "are lost"},
		{"End has a message", "end", "ok true"},
		{"End has a message and an error", "every split", "a message, and an error"},
		{"End has a message and says no", "every split", "says that there is none"},
		{"End fails otherwise", "every split", "not io.ErrUnexpectedEOF"},
		{"End always fails", "end", "End between messages"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			all := properties[[]byte]()
			i := slices.IndexFunc(all, func(p property[[]byte]) bool { return p.name == c.property })
			require.GreaterOrEqual(t, i, 0, "there is no property %q", c.property)
			assert.ErrorContains(t, all[i].holds(subject(c.fault)), c.says)
		})
	}
}
