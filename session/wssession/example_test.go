package wssession_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/wssession"
)

// greeter answers each message. It finds clients that have gone by their silence.
type greeter struct{ wssession.BaseHandler }

func (greeter) OnOpen(c *wssession.Conn) {
	c.Stream().SetReadIdleTimeout(30 * time.Second)
	c.Stream().Every(10*time.Second, func() { _ = c.Ping(nil) })
}

func (greeter) OnMessage(c *wssession.Conn, m websocket.Message) {
	_ = c.WriteText(append([]byte("hello, "), m.Data...))
}

// printer prints what it receives, and closes.
type printer struct {
	wssession.BaseHandler
	done chan bool
}

func (printer) OnMessage(c *wssession.Conn, m websocket.Message) {
	fmt.Printf("%s\n", m.Data)
	_ = c.Close()
}

func (p printer) OnClose(_ *wssession.Conn, err error) {
	fmt.Println(websocket.CodeOf(err))
	close(p.done)
}

// open opens a Transport and has it serve h at /greet.
func open(h wssession.Handler) (t tandem.Transport, url string) {
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/greet", wssession.Serve(h, nil))
	l, err := t.Listen("tcp", "127.0.0.1:0", httpsession.Handler(mux, nil), nil)
	if err != nil {
		log.Fatal(err)
	}
	return t, "ws://" + l.Addr().String() + "/greet"
}

// A server at a path of an HTTP server, and a client.
func Example() {
	t, url := open(greeter{})
	defer t.Close()
	client := printer{done: make(chan bool)}
	c, err := wssession.Dial(context.Background(), t, url, client, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c.WriteText([]byte("world"))
	<-client.done
	// Output:
	// hello, world
	// 1000
}

// An http.Handler that decides for each request, such as by its cookies.
func ExampleUpgrade() {
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		_, _ = wssession.Upgrade(w, r, greeter{}, nil) // the client has been told why, if that fails
	})
	l, err := t.Listen("tcp", "127.0.0.1:0", httpsession.Handler(site, nil), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = wssession.Dial(context.Background(), t, "ws://"+l.Addr().String(), wssession.BaseHandler{}, nil)
	fmt.Println(err)
	// Output: websocket: handshake: the server answered 401 Unauthorized
}

// A client in a loop of the program's own.
func ExampleConnectSession() {
	server, url := open(greeter{})
	defer server.Close()
	t, err := tandem.Open(&tandem.Options{CallerDriven: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	s, err := wssession.ConnectSession(t, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	for sent := false; ; { // the duty cycle
		if _, err := s.Drive(); err != nil {
			log.Fatal(err)
		}
		if !sent {
			_, status, err := s.Write(websocket.Message{Kind: websocket.Text, Data: []byte("world")})
			if err != nil {
				log.Fatal(err)
			}
			sent = status == polled.Success // Pending before the handshake has ended
		}
		m, status, err := s.Read()
		if err != nil {
			log.Fatal(err)
		}
		if status == polled.Data {
			fmt.Printf("%s\n", m.Data)
			_ = s.Close()
			return
		}
	}
	// Output: hello, world
}
