package http1

import "math"

// Limits bounds the size of messages, in both directions. The zero value of a field means its default, a negative value
// means 0. Values above an eighth of the largest int are reduced to that.
type Limits struct {
	// HeadBytes limits the size of a head, from its first line to the empty line, inclusive. In bytes. Default 64 KiB; at
	// most 1 GiB.
	HeadBytes int
	// HeadLines limits the number of field lines of a head, and of a trailer. Default 256.
	HeadLines int
	// BodyBytes limits the size of the content of a whole message, without the lines of chunks. In bytes. Default 16 MiB.
	BodyBytes int
	// ChunkLineBytes limits the size of the line that begins a chunk, with extensions and CRLF. In bytes. Default 1 KiB.
	ChunkLineBytes int
	// TrailerBytes limits the size of a trailer, with the empty line that ends it. In bytes. Below 2 no chunked message is
	// accepted. Default 8 KiB.
	TrailerBytes int
	// PartsBytes limits the size of content that a Decoder delivers in parts, without the lines of chunks. In bytes.
	// Default: none.
	PartsBytes int64
}

// maxExcess is the number of bytes that chunk lines may have beyond 16 for each chunk and 2 for each byte of content. It
// keeps a peer from sending endless extensions around little content. net/http has the same limit.
const maxExcess = 16 << 10

// mostHead is the largest limit of heads, whose parts are found by 32 bits.
const mostHead = 1 << 30

// resolved returns l with defaults filled in.
func (l Limits) resolved() Limits {
	return Limits{
		HeadBytes:      min(limit(l.HeadBytes, 64<<10), mostHead),
		HeadLines:      limit(l.HeadLines, 256),
		BodyBytes:      limit(l.BodyBytes, 16<<20),
		ChunkLineBytes: limit(l.ChunkLineBytes, 1<<10),
		TrailerBytes:   limit(l.TrailerBytes, 8<<10),
		PartsBytes:     limitParts(l.PartsBytes),
	}
}

func limit(asked, otherwise int) int {
	if asked == 0 {
		return otherwise
	}
	return min(max(asked, 0), math.MaxInt/8) // sums of limits do not overflow
}

func limitParts(asked int64) int64 {
	if asked == 0 {
		return math.MaxInt64
	}
	return max(asked, 0)
}

// maxSize returns the largest number of bytes that are kept for a message: a chunk's line is consumed before the next one.
func (l Limits) maxSize() int {
	r := l.resolved()
	return r.HeadBytes + r.BodyBytes + r.ChunkLineBytes + r.TrailerBytes
}
