//go:build linux

package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// patternPeriod is the number of starting points. It is prime, so that any step visits all of them before it repeats
// one.
const patternPeriod = 65521

const (
	connStep  = 1
	batchStep = 40503
)

// pattern is the bytes that the connections send. Every batch of messages is a window into one table of random bytes,
// so that it need not be written before it is sent, nor computed before it is compared. The start of the window depends
// on the connection and on the number of the batch: bytes of another connection or message are wrong bytes.
type pattern struct {
	table []byte
}

// newPattern makes the pattern for batches of the given size. It is the same in every process.
func newPattern(batch int) *pattern {
	table := make([]byte, patternPeriod+batch)
	source := rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'})
	_, _ = source.Read(table) // it never fails
	return &pattern{table: table[:len(table):len(table)]}
}

// batch is the bytes that connection conn sends as batch number seq. They must not be modified.
func (p *pattern) batch(conn int, seq uint64, size int) []byte {
	start := (uint64(conn)*connStep + seq%patternPeriod*batchStep) % patternPeriod
	return p.table[start : start+uint64(size)]
}

// wrongByte is the error for a byte that came back wrong.
type wrongByte struct {
	Conn      int
	Message   uint64 // counted from 0 on this connection
	Offset    int    // in the message
	Got, Want byte
}

func (e *wrongByte) Error() string {
	return fmt.Sprintf("wrong byte: connection %d, message %d, offset %d: got %#02x, want %#02x",
		e.Conn, e.Message, e.Offset, e.Got, e.Want)
}

// firstDifference is the index of the first byte in which two slices of one length differ, or -1.
func firstDifference(got, want []byte) int {
	if bytes.Equal(got, want) {
		return -1
	}
	for i := range got {
		if got[i] != want[i] {
			return i
		}
	}
	return -1
}
