package http1

import "net/http"

// The least number of bytes that follow some point of a chunked message: "0 CRLF CRLF" is the shortest end.
const (
	endBytes      = 5
	chunkEndBytes = 2 + endBytes
)

// stepChunkLine parses the line that begins a chunk. RFC 9112, section 7.1.
func (d *decoder) stepChunkLine(p []byte) (used, need int, f *fault) {
	line, _, ok, f := d.lines.line(p, d.limits.ChunkLineBytes, d.chunkLineTooLong)
	if f != nil || !ok {
		return 0, max(endBytes-len(p), endBytes-2), f
	}
	used = d.lines.next
	size, f := chunkLine(line, d.room())
	if f != nil {
		return 0, 0, f
	}
	d.excess = int(max(0, int64(d.excess+used-16)-2*min(size, 1<<40)))
	if d.excess > maxExcess {
		return 0, 0, tooLarge(0, http.StatusRequestEntityTooLarge, "lines of chunks exceed the content by more than %d bytes", maxExcess)
	}
	d.rest = size
	if size > 0 {
		d.enter(atChunkData)
	} else {
		d.enter(atTrailer)
	}
	return used, 0, nil
}

func (d *decoder) chunkLineTooLong(limit int) *fault {
	return tooLarge(limit, http.StatusBadRequest, "a chunk's line of more than %d bytes", limit)
}

// stepChunkData consumes as much of a chunk as has been received.
func (d *decoder) stepChunkData(p []byte) (used, need int, f *fault) {
	used = d.keep(p)
	switch {
	case d.rest == 0:
		d.enter(atChunkEnd)
	case !d.parts.on:
		return used, int(d.rest) + chunkEndBytes, nil
	case used == 0:
		return 0, 1, nil
	}
	return used, 0, nil
}

// stepChunkEnd consumes CRLF behind a chunk.
func (d *decoder) stepChunkEnd(p []byte) (used, need int, f *fault) {
	for i := range len(crlf) {
		if i == len(p) {
			return 0, chunkEndBytes - i, nil
		}
		if p[i] != crlf[i] {
			return 0, 0, malformed(i, "no CRLF behind a chunk")
		}
	}
	d.enter(atChunkLine)
	return len(crlf), 0, nil
}

// stepTrailer parses the fields behind the last chunk, and the empty line that ends them. RFC 9112, section 7.1.2.
func (d *decoder) stepTrailer(p []byte) (used, need int, f *fault) {
	for {
		line, at, ok, f := d.lines.line(p, d.limits.TrailerBytes, d.trailerTooLarge)
		if f != nil || !ok {
			return 0, max(2-len(p), 1), f
		}
		if len(line) == 0 {
			break
		}
		if d.lines.count > d.limits.HeadLines {
			return 0, 0, tooLarge(at, http.StatusRequestHeaderFieldsTooLarge, "a trailer of more than %d fields", d.limits.HeadLines)
		}
		name, _, f := field(line)
		if f == nil {
			f = trailerName(name)
		}
		if f != nil {
			return 0, 0, f.behind(at)
		}
	}
	used = d.lines.next
	if d.lines.count > 1 {
		if d.trailer, f = readTrailer(p[:used]); f != nil {
			return 0, 0, f
		}
	}
	d.enter(atWhole)
	return used, 0, nil
}

func (d *decoder) trailerTooLarge(limit int) *fault {
	return tooLarge(limit, http.StatusRequestHeaderFieldsTooLarge, "a trailer of more than %d bytes", limit)
}
