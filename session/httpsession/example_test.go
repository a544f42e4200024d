package httpsession_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// A health check, answered on the loop that does the real work, and a client that is polled.
func Example() {
	quiet := slog.New(slog.DiscardHandler)
	server, err := tandem.Open(&tandem.Options{Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "well") })
	l, err := server.Listen("tcp", "127.0.0.1:0", httpsession.Handler(mux, nil), nil)
	if err != nil {
		log.Fatal(err)
	}

	t, err := tandem.Open(&tandem.Options{CallerDriven: true, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	pool := httpsession.NewPool(t, nil)
	defer pool.Close()
	x, err := pool.Do(&http1.Request{Request: &http.Request{
		URL: &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/health"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	for { // the duty cycle
		if _, err := x.Drive(); err != nil {
			log.Fatal(err)
		}
		r, status, err := x.Read()
		if err != nil {
			log.Fatal(err)
		}
		if status == polled.Data {
			fmt.Printf("%s: %s\n", r.Status, r.Content)
			_ = x.Close() // the connection is free for the next exchange
			return
		}
	}
	// Output: 200 OK: well
}
