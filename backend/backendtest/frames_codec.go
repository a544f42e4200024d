package backendtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/tandem-io/tandem/frame"
)

// u64 is a codec: u64 little-endian length | payload.
type u64 struct{ most int }

func (c u64) NewDecoder() frame.Decoder[[]byte] { return &u64Decoder{c} }
func (c u64) MaxSize() int                      { return 8 + c.most }

func (c u64) Append(dst, m []byte) ([]byte, error) {
	if len(m) > c.most {
		return dst, &frame.Error{Codec: "u64", What: fmt.Sprintf("a payload of %d bytes; the limit is %d", len(m), c.most), Err: frame.ErrTooLarge}
	}
	return append(binary.LittleEndian.AppendUint64(dst, uint64(len(m))), m...), nil
}

type u64Decoder struct{ u64 }

func (d *u64Decoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if len(p) < 8 {
		return nil, 0, 8 - len(p), nil
	}
	size := binary.LittleEndian.Uint64(p)
	if size > uint64(d.most) {
		return nil, 0, 0, &frame.Error{Codec: "u64", What: fmt.Sprintf("a payload of %d bytes; the limit is %d", size, d.most), Err: frame.ErrTooLarge}
	}
	if n = 8 + int(size); len(p) < n {
		return nil, 0, n - len(p), nil
	}
	return p[8:n:n], n, 0, nil
}

func (d *u64Decoder) End(p []byte) (m []byte, ok bool, err error) {
	if len(p) > 0 {
		err = &frame.Error{Codec: "u64", Offset: int64(len(p)), What: "the stream ends within a frame", Err: io.ErrUnexpectedEOF}
	}
	return nil, false, err
}

// lines is a codec of lines; the end of the stream ends the last one, too.
type lines struct{}

func (lines) NewDecoder() frame.Decoder[[]byte]           { return lines{} }
func (lines) MaxSize() int                                { return 1 << 10 }
func (lines) Append(dst, m []byte) ([]byte, error)        { return append(append(dst, m...), '\n'), nil }
func (lines) End(p []byte) (m []byte, ok bool, err error) { return p, len(p) > 0, nil }

func (lines) Decode(p []byte) (m []byte, n, need int, err error) {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return nil, 0, 1, nil
	}
	return p[:end:end], end + 1, 0, nil
}
