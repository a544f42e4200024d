package httpsession_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
)

// BenchmarkHandler answers requests, 16 of which come at once, by a handler that writes a few bytes.
func BenchmarkHandler(b *testing.B) {
	const batch = 16
	for _, backend := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		b.Run(backend.String(), func(b *testing.B) {
			tr, err := tandem.Open(&tandem.Options{Backend: backend, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Skip(err)
			}
			defer tr.Close()
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{"text/plain"}
				w.Header()["Date"] = []string{"Fri, 27 Nov 2026 18:00:00 GMT"}
				_, _ = io.WriteString(w, "Hello, world!")
			})
			l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(h, nil), nil)
			if err != nil {
				b.Fatal(err)
			}
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			requests := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", batch))
			const answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\nDate: Fri, 27 Nov 2026 18:00:00 GMT\r\n\r\nHello, world!"
			answers := make([]byte, batch*len(answer))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(requests); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, answers); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/request")
		})
	}
}
