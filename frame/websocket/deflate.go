package websocket

import (
	"compress/flate"
	"sync"
)

// Every message is deflated with a context of its own, so that contexts can be shared.

// deflateTail ends what Flush of a flate.Writer writes, and is not sent. RFC 7692, section 7.2.1.
const deflateTail = "\x00\x00\xff\xff"

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
