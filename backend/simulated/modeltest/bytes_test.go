package modeltest

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Every end of a connection sends a sequence of its own: four bytes that name it, then bytes that follow from that name
// and their offset. So a byte that is lost, repeated or foreign is seen where it is read.

const header = 4

// fill sets p to what end id sends from offset on.
func fill(p []byte, id, offset int) {
	for i := 0; i < len(p); {
		at := offset + i
		if at < header {
			p[i] = nameOf(id)[at]
			i++
			continue
		}
		var block [8]byte
		binary.LittleEndian.PutUint64(block[:], mix(uint64(id)<<32|uint64(at/8)))
		i += copy(p[i:], block[at%8:])
	}
}

func nameOf(id int) [header]byte {
	var name [header]byte
	binary.LittleEndian.PutUint32(name[:], uint32(id)*2654435761)
	return name
}

// idOf is the inverse of nameOf, 0 if it is nobody's name.
func idOf(name [header]byte) int {
	id := binary.LittleEndian.Uint32(name[:]) * 244002641 // the inverse modulo 1<<32
	if id > 1<<16 {
		return 0
	}
	return int(id)
}

// mix is the end of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sequence makes n bytes of end id from offset on.
func sequence(id, offset, n int) []byte {
	p := make([]byte, n)
	fill(p, id, offset)
	return p
}

// reader checks bytes that come from one end, in order. A copy of it looks ahead.
type reader struct {
	id   int // whose bytes they are; 0: not known yet
	name [header]byte
	off  int
}

// read checks the next bytes.
func (r *reader) read(p []byte) error {
	for len(p) > 0 && r.off < header {
		r.name[r.off] = p[0]
		r.off++
		p = p[1:]
		if r.off < header {
			continue
		}
		id := idOf(r.name)
		if id == 0 || r.id != 0 && id != r.id {
			return fmt.Errorf("S01: the first bytes, % x, are those of end %d; want %d", r.name, id, r.id)
		}
		r.id = id
	}
	if len(p) == 0 {
		return nil
	}
	want := sequence(r.id, r.off, len(p))
	if i := firstDifference(p, want); i >= 0 {
		return fmt.Errorf("S01: byte %d of end %d is %#x; want %#x; %s", r.off+i, r.id, p[i], want[i], r.whence(p[i:]))
	}
	r.off += len(p)
	return nil
}

// whence says where wrong bytes may be from.
func (r *reader) whence(p []byte) string {
	p = p[:min(len(p), 16)]
	if bytes.Count(p, []byte{0xDB}) == len(p) {
		return "the memory was given back before"
	}
	all := sequence(r.id, 0, r.off+1<<18)
	if at := bytes.Index(all, p); at >= 0 && len(p) >= 4 {
		return fmt.Sprintf("these are the bytes from %d on", at)
	}
	return fmt.Sprintf("got % x", p)
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
