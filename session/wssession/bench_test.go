package wssession_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tandem-io/tandem"
)

// BenchmarkEcho sends a message, and reads the answer.
func BenchmarkEcho(b *testing.B) {
	for _, backend := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		for _, n := range []int{64, 1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%v/%d", backend, n), func(b *testing.B) {
				tr := openOn(b, &tandem.Options{Backend: backend, Loops: 1})
				p := dialPeer(b, listen(b, tr, echo{}, nil), "")
				message := whole(binaryFrame, strings.Repeat("x", n))
				answer := make([]byte, len(message)-4)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					go func() { _, _ = p.Write(message) }()
					if _, err := io.ReadFull(p.r, answer); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
