package httpsession_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session/httpsession"
)

const benchDate = "Fri, 27 Nov 2026 18:00:00 GMT"

// benchHandlers write the same few bytes.
var benchHandlers = []struct {
	name    string
	handler tandem.Handler
}{
	{"http", httpsession.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain"}
		w.Header()["Date"] = []string{benchDate}
		_, _ = io.WriteString(w, "Hello, world!")
	}), nil)},
	{"raw", httpsession.RawHandler(func(x *httpsession.RawExchange) {
		_ = x.Response.Add("Content-Type", "text/plain")
		x.Response.Date = benchDate
		_, _ = x.Response.WriteString("Hello, world!")
	}, nil)},
}

// benchAnswer is as long as what they send.
const benchAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\nDate: " + benchDate + "\r\n\r\nHello, world!"

// BenchmarkHandler answers requests, 16 of which come at once, by a handler that writes a few bytes.
func BenchmarkHandler(b *testing.B) {
	for _, backend := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		for _, k := range benchHandlers {
			b.Run(k.name+"/"+backend.String(), func(b *testing.B) { benchmarkHandler(b, backend, k.handler) })
		}
	}
}

func benchmarkHandler(b *testing.B, backend tandem.Backend, h tandem.Handler) {
	const batch = 16
	_, address := listenOn(b, &tandem.Options{Backend: backend, Loops: 1}, h)
	c, err := net.Dial("tcp", address)
	require.NoError(b, err)
	defer c.Close()
	requests := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", batch))
	answers := make([]byte, batch*len(benchAnswer))
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
}

// BenchmarkHandlerSimulated answers requests without a kernel, so many at once that the simulated one costs little beside
// them.
func BenchmarkHandlerSimulated(b *testing.B) {
	const batch = 500
	for _, k := range benchHandlers {
		b.Run(k.name, func(b *testing.B) {
			world := simulated.New(simulated.Config{})
			tr, err := tandem.Simulated(world, nil)
			require.NoError(b, err)
			defer tr.Close()
			l, err := tr.Listen("tcp", "localhost:0", k.handler, nil)
			require.NoError(b, err)
			p, err := world.Dial("tcp", l.Addr().String())
			require.NoError(b, err)
			p.Discard()
			requests := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", batch))
			want := 0
			b.ReportAllocs()
			for b.Loop() {
				p.Send(requests)
				want += batch * len(benchAnswer)
				if err := world.Run(func() bool { return p.Count() == want }, tr); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/request")
		})
	}
}
