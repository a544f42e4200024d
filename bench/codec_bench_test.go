package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/valyala/fasthttp"
)

// The codecs of HTTP/1 beside those of fasthttp and net/http. Run them several times in one run, and compare the medians:
//
//	go -C bench test -run '^$' -bench HTTP -count 7 .

// browserRequest is what a browser sends, and smallResponse a usual answer to it.
const (
	browserRequest = "GET /api/v1/orders?limit=20&after=1234 HTTP/1.1\r\nHost: www.example.com:8443\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n" +
		"Accept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.com:8443/orders\r\nConnection: keep-alive\r\n" +
		"Cookie: session=0123456789abcdef; theme=dark\r\nUpgrade-Insecure-Requests: 1\r\n\r\n"
	smallContent = "{\"orders\":[],\"more\":false}\r\n"
)

func BenchmarkHTTPDecode(b *testing.B) {
	p := []byte(browserRequest)
	b.Run("tandem-raw", func(b *testing.B) {
		d := http1.RawRequests{}.NewRawRequestDecoder()
		b.ReportAllocs()
		for b.Loop() {
			if m, _, need, err := d.Decode(p); err != nil || need > 0 || m.Get("Accept") == nil {
				b.Fatal(need, err)
			}
		}
	})
	b.Run("tandem", func(b *testing.B) {
		d := http1.Requests{}.NewRequestDecoder()
		b.ReportAllocs()
		for b.Loop() {
			if m, _, need, err := d.Decode(p); err != nil || need > 0 || m.Header.Get("Accept") == "" {
				b.Fatal(need, err)
			}
		}
	})
	b.Run("fasthttp", func(b *testing.B) {
		r, from := bufio.NewReader(nil), bytes.NewReader(nil)
		var m fasthttp.Request
		b.ReportAllocs()
		for b.Loop() {
			from.Reset(p)
			r.Reset(from)
			if err := m.Read(r); err != nil || m.Header.Peek("Accept") == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net-http", func(b *testing.B) {
		r, from := bufio.NewReader(nil), bytes.NewReader(nil)
		b.ReportAllocs()
		for b.Loop() {
			from.Reset(p)
			r.Reset(from)
			if m, err := http.ReadRequest(r); err != nil || m.Header.Get("Accept") == "" {
				b.Fatal(err)
			}
		}
	})
}

// smallHeader has the fields of the answer, but for its length.
var smallHeader = http.Header{
	"Content-Type": {"application/json"}, "Date": {"Sun, 06 Nov 1994 08:49:37 GMT"}, "Server": {"example"}, "Vary": {"Accept"},
}

func BenchmarkHTTPEncode(b *testing.B) {
	b.Run("tandem", func(b *testing.B) {
		var dst []byte
		var err error
		m := &http1.Response{Response: &http.Response{StatusCode: 200, Header: smallHeader, Request: &http.Request{Method: "GET", ProtoMajor: 1, ProtoMinor: 1}}}
		m.Content = []byte(smallContent)
		b.ReportAllocs()
		for b.Loop() {
			if dst, err = (http1.Responses{}).Append(dst[:0], m); err != nil {
				b.Fatal(err)
			}
		}
	})
	// A server makes a handler's calls for each answer, and then encodes it.
	b.Run("tandem-raw", func(b *testing.B) { encodeRaw(b, true) })
	b.Run("tandem-raw-encoding-alone", func(b *testing.B) { encodeRaw(b, false) })
	b.Run("fasthttp", func(b *testing.B) { encodeFasthttp(b, true) })
	b.Run("fasthttp-encoding-alone", func(b *testing.B) { encodeFasthttp(b, false) })
}

// encodeRaw encodes RawResponses, with the calls that fill each one if calls says so.
func encodeRaw(b *testing.B, calls bool) {
	q, _, _, err := http1.RawRequests{}.NewRawRequestDecoder().Decode([]byte(browserRequest))
	require.NoError(b, err)
	var dst []byte
	var m http1.RawResponse
	fill := func() {
		m.Reset()
		for name, values := range smallHeader {
			_ = m.Add(name, values[0])
		}
		_, _ = m.WriteString(smallContent)
	}
	fill()
	b.ReportAllocs()
	for b.Loop() {
		if calls {
			fill()
		}
		if dst, err = m.Append(dst[:0], q, http1.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// encodeFasthttp is encodeRaw with fasthttp's responses, written as its server does.
func encodeFasthttp(b *testing.B, calls bool) {
	var m fasthttp.Response
	w := bufio.NewWriter(io.Discard)
	fill := func() {
		m.Reset()
		for name, values := range smallHeader {
			m.Header.Set(name, values[0])
		}
		m.SetBodyString(smallContent)
	}
	fill()
	b.ReportAllocs()
	for b.Loop() {
		if calls {
			fill()
		}
		if err := m.Write(w); err != nil {
			b.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}
