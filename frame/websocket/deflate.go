package websocket

import (
	"compress/flate"
	"io"
	"sync"
)

// Every message is deflated and inflated with a context of its own, so that contexts can be shared.

// deflateTail ends what Flush of a flate.Writer writes, and is not sent. RFC 7692, section 7.2.1.
const deflateTail = "\x00\x00\xff\xff"

// inflateTail is what a flate.Reader needs behind a message: the tail, and a block that is marked as the last one.
const inflateTail = deflateTail + "\x01\x00\x00\xff\xff"

// mostEnds limits how often a message may be marked as ended before it is: with each mark a context begins anew, which
// costs more than reading two bytes.
const mostEnds = 16

// inflater is a context for inflating.
type inflater struct {
	from   deflated
	reader io.ReadCloser // a flate.Resetter
}

var inflaters = sync.Pool{New: func() any {
	i := new(inflater)
	i.reader = flate.NewReader(&i.from)
	return i
}}

// deflated reads a message and the tail. It is an io.ByteReader, so that no byte is read ahead.
type deflated struct {
	p    []byte
	tail string
}

// ReadByte implements io.ByteReader.
func (d *deflated) ReadByte() (b byte, err error) {
	switch {
	case len(d.p) > 0:
		b, d.p = d.p[0], d.p[1:]
	case d.tail != "":
		b, d.tail = d.tail[0], d.tail[1:]
	default:
		err = io.EOF
	}
	return b, err
}

// Read implements io.Reader.
func (d *deflated) Read(p []byte) (n int, err error) {
	n = copy(p, d.p)
	d.p = d.p[n:]
	k := copy(p[n:], d.tail)
	d.tail = d.tail[k:]
	if n+k == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n + k, nil
}

// inflate appends the inflated p to dst, at most most bytes of it.
func inflate(dst, p []byte, most int) ([]byte, error) {
	i := inflaters.Get().(*inflater)
	defer func() {
		i.from = deflated{}
		inflaters.Put(i)
	}()
	i.from = deflated{p: p, tail: inflateTail}
	for ends := 0; ; ends++ {
		if ends > mostEnds {
			return dst, invalid(len(p)-len(i.from.p), "a compressed message that ends more than %d times", mostEnds)
		}
		if err := i.reader.(flate.Resetter).Reset(&i.from, nil); err != nil {
			return dst, invalid(0, "cannot inflate: %v", err)
		}
		var err error
		if dst, err = readUpTo(dst, i.reader, most); err != nil {
			return dst, err
		}
		if len(i.from.p) == 0 {
			return dst, nil
		}
	}
}

// readUpTo appends what r has, and fails if dst gets longer than most bytes.
func readUpTo(dst []byte, r io.Reader, most int) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			room := min(max(2*cap(dst), 512), most+1)
			dst = append(make([]byte, 0, max(room, len(dst)+1)), dst...)
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst) > most:
			return dst[:most], tooLarge(0, "an inflated message", most)
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst, invalid(0, "cannot inflate: %v", err)
		}
	}
}

// deflater is a context for deflating.
type deflater struct {
	to     appender
	writer *flate.Writer
}

// deflaters has contexts for each level, from flate.HuffmanOnly to flate.BestCompression.
var deflaters [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// appender is an io.Writer that appends.
type appender struct{ p []byte }

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

// AppendDeflated appends the compressed p to dst: the payload of a message whose first frame has RSV1. level is one of
// package flate; 0 means flate.BestSpeed, and so does a level that does not exist. It reports whether p got smaller. If not,
// p should be sent as it is. Any goroutine.
func AppendDeflated(dst, p []byte, level int) (longer []byte, smaller bool) {
	if level == 0 || level < flate.HuffmanOnly || level > flate.BestCompression {
		level = flate.BestSpeed
	}
	pool := &deflaters[level-flate.HuffmanOnly]
	d, _ := pool.Get().(*deflater)
	if d == nil {
		d = new(deflater)
		d.writer, _ = flate.NewWriter(&d.to, level) // the level exists
	} else {
		d.writer.Reset(&d.to)
	}
	d.to.p = dst
	_, _ = d.writer.Write(p) // an appender does not fail
	_ = d.writer.Flush()
	out := d.to.p[:len(d.to.p)-len(deflateTail)]
	d.to.p = nil
	pool.Put(d)
	return out, len(out)-len(dst) < len(p)
}
