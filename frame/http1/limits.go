package http1

import "math"

// Limits bounds what one message of a peer may take, and what Append makes. The zero value of a field is its default; a
// negative value allows nothing of the kind. Values above an eighth of the largest int count as that.
type Limits struct {
	// HeadBytes is the most bytes a head may have, from its first line to the empty line, inclusive. Default 64 KiB.
	HeadBytes int
	// HeadLines is the most field lines a head may have, and a trailer too. Default 256.
	HeadLines int
	// BodyBytes is the most bytes of content, without the lines of chunks. Default 16 MiB.
	BodyBytes int
	// ChunkLineBytes is the most bytes of a line that begins a chunk, with extensions and CRLF. Default 1 KiB.
	ChunkLineBytes int
	// TrailerBytes is the most bytes of a trailer, with the empty line that ends it: at least 2, or no chunked message
	// is accepted. Default 8 KiB.
	TrailerBytes int
}

// maxExcess is how many bytes chunk lines may take beyond 16 a chunk and two for each byte of content. It keeps a peer
// from sending extensions without end around little content. net/http has the same allowance.
const maxExcess = 16 << 10

// resolved returns l with numbers for defaults.
func (l Limits) resolved() Limits {
	return Limits{
		HeadBytes:      limit(l.HeadBytes, 64<<10),
		HeadLines:      limit(l.HeadLines, 256),
		BodyBytes:      limit(l.BodyBytes, 16<<20),
		ChunkLineBytes: limit(l.ChunkLineBytes, 1<<10),
		TrailerBytes:   limit(l.TrailerBytes, 8<<10),
	}
}

func limit(asked, otherwise int) int {
	if asked == 0 {
		return otherwise
	}
	return min(max(asked, 0), math.MaxInt/8) // sums of limits do not overflow
}

// maxSize is the sum of what a message may have at a time: a chunk's line is gone before the next one comes.
func (l Limits) maxSize() int {
	r := l.resolved()
	return r.HeadBytes + r.BodyBytes + r.ChunkLineBytes + r.TrailerBytes
}
