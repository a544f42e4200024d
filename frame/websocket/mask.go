package websocket

import (
	"crypto/rand"
	"sync"
)

// maskBatch holds masks that were made together, because a call of crypto/rand costs more than a short frame.
type maskBatch struct {
	bytes [4 << 10]byte
	at    int // bytes[at:] were not used yet
}

var maskBatches = sync.Pool{New: func() any {
	b := new(maskBatch)
	b.at = len(b.bytes)
	return b
}}

// newMask returns a mask that nobody can predict. RFC 6455, section 5.3.
func newMask() (mask [4]byte) {
	b := maskBatches.Get().(*maskBatch)
	if b.at == len(b.bytes) {
		_, _ = rand.Read(b.bytes[:]) // never fails
		b.at = 0
	}
	b.at += copy(mask[:], b.bytes[b.at:])
	maskBatches.Put(b)
	return mask
}
