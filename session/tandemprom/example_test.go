package tandemprom_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/tandemprom"
)

// A server whose figures Prometheus collects at /metrics.
func Example() {
	t, err := tandem.Open(&tandem.Options{Backend: tandem.Portable, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	figures := tandemprom.New(t, &tandemprom.Options{ConstLabels: prometheus.Labels{"transport": "front"}})
	registry := prometheus.NewRegistry()
	registry.MustRegister(figures)
	l, err := t.Listen("tcp", "127.0.0.1:0", echo{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	figures.Add(l)

	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := httptest.NewServer(mux)
	defer server.Close()
	r, err := http.Get(server.URL + "/metrics")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	page, _ := io.ReadAll(r.Body)
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "tandem_streams{") {
			fmt.Print(line)
		}
	}
	// Output: tandem_streams{backend="portable",transport="front"} 0
}
