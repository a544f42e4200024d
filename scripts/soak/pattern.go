//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The bytes of a connection follow from its key and their position.

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func word(key uint64, at int) uint64 { return mix(key ^ uint64(at>>3)*0xd6e8feb86659fd93) }

// fill writes the bytes of key from position at on.
func fill(p []byte, key uint64, at int) {
	for len(p) > 0 {
		w, skip := word(key, at), at&7
		if skip == 0 && len(p) >= 8 {
			binary.LittleEndian.PutUint64(p, w)
			p, at = p[8:], at+8
			continue
		}
		p[0] = byte(w >> (8 * skip))
		p, at = p[1:], at+1
	}
}

// pattern returns the bytes of key from position from to position to.
func pattern(key uint64, from, to int) []byte {
	p := make([]byte, to-from)
	fill(p, key, from)
	return p
}

// wrongBytes says where bytes are not those of their key.
type wrongBytes struct {
	at, of int
	text   string
}

func (e *wrongBytes) Error() string {
	return fmt.Sprintf("WRONG BYTES at %d of %d: %s", e.at, e.of, e.text)
}

// verify compares p with the bytes of key from position at on.
func verify(p []byte, key uint64, at int) error {
	for i := 0; i < len(p); {
		w, skip := word(key, at+i), (at+i)&7
		if skip == 0 && len(p)-i >= 8 && binary.LittleEndian.Uint64(p[i:]) == w {
			i += 8
			continue
		}
		if p[i] != byte(w>>(8*skip)) {
			rest := p[i:min(len(p), i+16)]
			return &wrongBytes{at: at + i, of: at + len(p), text: fmt.Sprintf("key %#x: got %x, want %x; %s", key, rest,
				pattern(key, at+i, at+i+len(rest)), whence(rest, key, at+i))}
		}
		i++
	}
	return nil
}

// whence says from where in the same connection the bytes are that came at a position, if they are.
func whence(p []byte, key uint64, at int) string {
	if len(p) < 4 {
		return "too few to tell whence"
	}
	there := make([]byte, len(p))
	const near = 64 << 10
	for from := max(0, at-near); from < at+near; from++ {
		if byte(word(key, from)>>(8*(from&7))) != p[0] {
			continue
		}
		if fill(there, key, from); bytes.Equal(there, p) {
			return fmt.Sprintf("they are those of position %d, %+d", from, from-at)
		}
	}
	return "they are of no position near"
}

const headSize = 32

// header is what a client sends first: what the server is to do.
type header struct {
	mode  mode
	where uint8  // of modes that fail: in which callback; of frames: which codec
	key   uint64 // of the bytes behind the header
	first uint32 // bytes that the client sends, and waits for
	then  uint32 // bytes that it sends after that
	cut   uint32 // position at which the server does what the mode is for
}

func (h header) total() int { return int(h.first) + int(h.then) }

const magic = 0x4b414f53

func (h header) append(p []byte) []byte {
	var b [headSize]byte
	binary.LittleEndian.PutUint32(b[0:], magic)
	b[4], b[5] = byte(h.mode), h.where
	binary.LittleEndian.PutUint64(b[8:], h.key)
	binary.LittleEndian.PutUint32(b[16:], h.first)
	binary.LittleEndian.PutUint32(b[20:], h.then)
	binary.LittleEndian.PutUint32(b[24:], h.cut)
	binary.LittleEndian.PutUint32(b[28:], h.sum())
	return append(p, b[:]...)
}

func (h header) sum() uint32 {
	return uint32(mix(h.key ^ uint64(h.first)<<32 ^ uint64(h.then) ^ uint64(h.cut)<<16 ^ uint64(h.mode)<<8 ^ uint64(h.where)))
}

func parseHeader(b []byte) (header, error) {
	h := header{
		mode: mode(b[4]), where: b[5], key: binary.LittleEndian.Uint64(b[8:]), first: binary.LittleEndian.Uint32(b[16:]),
		then: binary.LittleEndian.Uint32(b[20:]), cut: binary.LittleEndian.Uint32(b[24:]),
	}
	if binary.LittleEndian.Uint32(b) != magic || binary.LittleEndian.Uint32(b[28:]) != h.sum() || h.mode >= modes {
		return h, &wrongBytes{of: headSize, text: fmt.Sprintf("the header is %x", b[:headSize])}
	}
	return h, nil
}
