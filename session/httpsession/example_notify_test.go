package httpsession_test

import (
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// asker is the part of a program that asks an HTTP server.
type asker struct {
	client *httpsession.Client
	url    string
	paths  []string // to be asked for
}

// poll does what the client has to do now, and returns how many answers have come.
func (a *asker) poll() (answers int) {
	for more := true; more; {
		activity, err := a.client.Drive()
		if err != nil {
			log.Fatal(err)
		}
		response, status, err := a.client.Read()
		if err != nil {
			log.Fatal(err)
		}
		if status == polled.Data {
			fmt.Printf("%s: %s\n", response.Status, response.Content)
			answers++
		}
		asked := len(a.paths) > 0 && a.ask(a.paths[0])
		if asked {
			a.paths = a.paths[1:]
		}
		more = activity == polled.Active || status != polled.None || asked
	}
	return answers
}

// ask sends a request, and reports whether there was room for it.
func (a *asker) ask(path string) bool {
	r, err := http.NewRequest(http.MethodGet, a.url+path, nil)
	if err != nil {
		log.Fatal(err)
	}
	_, status, err := a.client.Write(&http1.Request{Request: r})
	if err != nil {
		log.Fatal(err)
	}
	return status == polled.Success
}

// A program with a loop of its own has an HTTP client in it that wakes it: nothing sleeps, and nothing is polled in vain.
func ExampleClient_Notify() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello from ", r.URL.Path)
	}))
	defer server.Close()
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()

	wake := make(chan struct{}, 1)
	client, err := httpsession.Connect(t, server.Listener.Addr().String(), &httpsession.ClientOptions{
		Notify: func() { // on a loop of t: it must not block
			select {
			case wake <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	work := make(chan string, 2) // what else the program waits for
	work <- "/one"
	work <- "/two"
	a := &asker{client: client, url: server.URL}
	late := time.After(time.Minute)
	for answers := a.poll(); answers < 2; answers += a.poll() {
		select {
		case <-wake:
		case path := <-work:
			a.paths = append(a.paths, path)
		case <-late:
			log.Fatal("there is no answer")
		}
	}
	// Output:
	// 200 OK: hello from /one
	// 200 OK: hello from /two
}
