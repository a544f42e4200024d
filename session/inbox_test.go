package session

import (
	"testing"

	"github.com/tandem-io/tandem/backend"
)

// TestInboxGrowsWithBytes claims a length and looks at how much memory there is for the bytes that have come.
func TestInboxGrowsWithBytes(t *testing.T) {
	const claimed = 9_999_999
	in := inbox{pool: new(backend.Pool), wanted: claimed}
	piece := make([]byte, 60_000)
	for in.len() < claimed {
		in.push(piece)
		if most := min(max(2*in.len(), 64<<10), claimed+largestPiece); cap(in.mem) > most {
			t.Fatalf("%d bytes have come and %d are kept for them, more than %d", in.len(), cap(in.mem), most)
		}
	}
}

// TestInboxWithoutWish keeps what has come, and nobody waits for a message.
func TestInboxWithoutWish(t *testing.T) {
	in := inbox{pool: new(backend.Pool)}
	in.push([]byte("abc"))
	in.consume(2)
	in.push(make([]byte, 5000))
	if got := in.bytes(); len(got) != 5001 || got[0] != 'c' {
		t.Errorf("%d bytes, beginning with %q", len(got), got[:1])
	}
}
