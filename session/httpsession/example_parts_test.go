package httpsession_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// serveExample serves h, and returns its URL.
func serveExample(h http.Handler, o *httpsession.ServerOptions) (string, func()) {
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	l, err := t.Listen("tcp", "127.0.0.1:0", httpsession.Handler(h, o), nil)
	if err != nil {
		log.Fatal(err)
	}
	return "http://" + l.Addr().String(), func() { _ = t.Close() }
}

// Server-sent events, without a goroutine for each client: until it leaves.
func ExampleStartAsync() {
	left := make(chan error, 1)
	events := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{Close: func(err error) { left <- err }})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		n := 0
		x.Stream().Every(time.Millisecond, func() { // ends with the stream
			if !x.Writable() {
				return // the client is slow: it misses some
			}
			n++
			_, _ = fmt.Fprintf(x, "data: %d\n\n", n)
			x.Flush()
		})
	}
	address, end := serveExample(http.HandlerFunc(events), nil)
	defer end()

	r, err := http.Get(address)
	if err != nil {
		log.Fatal(err)
	}
	for lines, n := bufio.NewScanner(r.Body), 0; n < 2 && lines.Scan(); {
		if line := lines.Text(); line != "" {
			fmt.Println(line)
			n++
		}
	}
	_ = r.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println("the client has left:", <-left != nil)
	// Output:
	// data: 1
	// data: 2
	// the client has left: true
}

// An upload of any size to a file, by a handler that blocks as under net/http. A slow disk holds the client up.
func ExampleBlocking() {
	upload := func(w http.ResponseWriter, r *http.Request) {
		f, err := os.CreateTemp("", "upload")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError) // without 100 Continue
			return
		}
		defer os.Remove(f.Name())
		defer f.Close()
		n, err := io.Copy(f, http.MaxBytesReader(w, r.Body, 1<<30))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "%d bytes", n)
	}
	mux := http.NewServeMux()
	mux.Handle("PUT /files/", httpsession.Blocking(http.HandlerFunc(upload)))
	address, end := serveExample(mux, &httpsession.ServerOptions{
		Parts: func(r *http1.Request) bool { return r.Method == http.MethodPut },
	})
	defer end()

	r, err := http.NewRequest(http.MethodPut, address+"/files/a", io.LimitReader(zeros{}, 50<<20))
	if err != nil {
		log.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	content, _ := io.ReadAll(answer.Body)
	http.DefaultClient.CloseIdleConnections()
	fmt.Printf("%s", content)
	// Output: 52428800 bytes
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Fields that are known only behind the content, as with net/http.
func ExampleHandler_trailer() {
	h := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Lines")
		for range 3 {
			_, _ = io.WriteString(w, "line\n")
		}
		w.Header().Set("X-Lines", "3")
	}
	address, end := serveExample(http.HandlerFunc(h), nil)
	defer end()
	r, err := http.Get(address)
	if err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(r.Trailer.Get("X-Lines"))
	// Output: 3
}

// Links that the client can follow while the response is being made.
func ExampleHandler_earlyHints() {
	h := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "<html>")
	}
	address, end := serveExample(http.HandlerFunc(h), nil)
	defer end()
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			fmt.Println(status, h.Get("Link"))
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	_ = answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	fmt.Println(answer.Status)
	// Output:
	// 103 </style.css>; rel=preload; as=style
	// 200 OK
}

// A client on the loop that sends content as long as the server takes it, and reads the response as it comes.
func ExampleClientConn() {
	echo := func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }
	address, end := serveExample(httpsession.Blocking(http.HandlerFunc(echo)), nil)
	defer end()

	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	target, _ := url.Parse(address)
	request := &http1.Request{Part: http1.First, Request: &http.Request{
		Method: http.MethodPost, URL: target, ContentLength: -1, Header: http.Header{"Expect": {"100-continue"}},
	}}
	lines := []string{"one\n", "two\n", "three\n"}
	done := make(chan error, 1)

	c := httpsession.NewClientConn(&httpsession.ClientOptions{Parts: func(*http1.Response) bool { return true }})
	var received strings.Builder
	answered := func(r *http1.Response, err error) {
		if err != nil {
			done <- err
			return
		}
		received.Write(r.Content) // valid until answered returns
		if r.Part.Ends() {
			done <- nil
		}
	}
	send := func() {
		for request.Part != http1.Last {
			request.Part, request.Content = http1.Last, nil
			if len(lines) > 0 {
				request.Part, request.Content = http1.Middle, []byte(lines[0])
			}
			switch err := c.Write(request); {
			case errors.Is(err, session.ErrWouldBlock): // Ready is called again
				request.Part = http1.Middle
				return
			case err != nil:
				done <- err
				return
			case len(lines) > 0:
				lines = lines[1:]
			}
		}
	}
	c.Ready = func() { // the stream has opened
		c.Ready = send
		if err := c.Do(request, answered); err != nil {
			done <- err
		}
	}
	if _, err := t.Connect("tcp", target.Host, c, nil); err != nil {
		log.Fatal(err)
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	fmt.Print(received.String())
	// Output:
	// one
	// two
	// three
}

// A download that is read as it comes, by a duty cycle.
func ExampleClient_parts() {
	h := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, 10<<20) }
	address, end := serveExample(httpsession.Blocking(http.HandlerFunc(h)), nil)
	defer end()

	t, err := tandem.Open(&tandem.Options{CallerDriven: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	target, _ := url.Parse(address)
	c, err := httpsession.Connect(t, target.Host, &httpsession.ClientOptions{
		Parts: func(*http1.Response) bool { return true },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var unsent = &http1.Request{Request: &http.Request{URL: target}}
	for total := 0; ; {
		if _, err := c.Drive(); err != nil {
			log.Fatal(err)
		}
		if unsent != nil {
			if unsent, _, err = c.Write(unsent); err != nil {
				log.Fatal(err)
			}
		}
		r, status, err := c.Read()
		if err != nil {
			log.Fatal(err)
		}
		if status == polled.Data {
			if total += len(r.Content); r.Part.Ends() {
				fmt.Println(total)
				return
			}
		}
	}
	// Output: 10485760
}
