package httpsession_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
)

// Answers that cost next to nothing: no http.Request is made of what came.
func ExampleRawHandler() {
	h := httpsession.RawHandler(func(x *httpsession.RawExchange) {
		switch string(x.Request.Path()) {
		case "/health":
			_ = x.Response.Add("Content-Type", "text/plain")
			_, _ = fmt.Fprintf(&x.Response, "well, %s", x.Request.Get("X-Name"))
		default:
			x.Response.Status = http.StatusNotFound
		}
	}, nil)
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	if err != nil {
		log.Fatal(err)
	}

	for _, path := range []string{"/health", "/other"} {
		q, _ := http.NewRequest("GET", "http://"+l.Addr().String()+path, nil)
		q.Header.Set("X-Name", "thanks")
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			log.Fatal(err)
		}
		content, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		fmt.Println(r.StatusCode, string(content))
	}
	// Output:
	// 200 well, thanks
	// 404
}
