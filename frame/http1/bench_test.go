package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A browser's request and a small answer to it, as they are.
const (
	benchRequest = "GET /api/v1/orders?limit=20&after=1234 HTTP/1.1\r\nHost: www.example.com:8443\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
		"Accept: application/json\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en-GB,en;q=0.5\r\nCookie: session=0123456789abcdef; theme=dark\r\n" +
		"Connection: keep-alive\r\n\r\n"
	benchResponse = "HTTP/1.1 200 OK\r\nContent-Length: 28\r\nContent-Type: application/json\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" +
		"Server: example\r\nVary: Accept\r\n\r\n{\"orders\":[],\"more\":false}\r\n"
)

func BenchmarkDecodeRequest(b *testing.B) {
	p := []byte(benchRequest)
	b.Run("http1", func(b *testing.B) {
		d := requests()
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			if _, n, _, err := d.Decode(p); err != nil || n != len(p) {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		d := RawRequests{}.NewRawRequestDecoder()
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			if m, n, _, err := d.Decode(p); err != nil || n != len(p) || m.Get("Accept") == nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) { // what of it is net/http
		r, from := bufio.NewReader(nil), bytes.NewReader(nil)
		b.ReportAllocs()
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			from.Reset(p)
			r.Reset(from)
			if _, err := http.ReadRequest(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeResponse(b *testing.B) {
	p := []byte(benchResponse)
	d := responses("")
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		d.Expect("GET")
		if _, n, _, err := d.Decode(p); err != nil || n != len(p) {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkDecodeContent has 1 MiB of content, which comes in pieces of 16 KiB.
func BenchmarkDecodeContent(b *testing.B) {
	const size, piece = 1 << 20, 16 << 10
	content := strings.Repeat("x", size)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 8<<10, content[:8<<10])
	for _, c := range []struct{ name, raw string }{
		{"length", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, content)},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, size/(8<<10)) + "0\r\n\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := []byte(c.raw)
			d := responses("")
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				d.Expect("GET")
				start, need := 0, 1
				for end := piece; need > 0; end += piece {
					m, n, missing, err := d.Decode(p[start:min(end, len(p))])
					if err != nil || missing == 0 && len(m.Content) != size {
						b.Fatal(err)
					}
					start, need = start+n, missing
				}
			}
		})
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	m, _, _, err := requests().Decode([]byte(benchRequest))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("http1", func(b *testing.B) {
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			if dst, err = (Requests{}).Append(dst[:0], m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Request.Write(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendResponse(b *testing.B) {
	m, _, _, err := responses("GET").Decode([]byte(benchResponse))
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = (Responses{}).Append(dst[:0], m); err != nil {
			b.Fatal(err)
		}
	}
}
