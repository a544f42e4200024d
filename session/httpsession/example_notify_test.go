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

	var paths []string
	asked := make(chan string, 2) // other work of the program
	asked <- "/one"
	asked <- "/two"
	// poll does what the client has to do now.
	poll := func() (answers int) {
		for more := true; more; {
			activity, err := client.Drive()
			if err != nil {
				log.Fatal(err)
			}
			response, status, err := client.Read()
			if err != nil {
				log.Fatal(err)
			}
			if status == polled.Data {
				fmt.Printf("%s: %s\n", response.Status, response.Content)
				answers++
			}
			more = activity == polled.Active || status != polled.None
			if len(paths) > 0 {
				r, err := http.NewRequest(http.MethodGet, server.URL+paths[0], nil)
				if err != nil {
					log.Fatal(err)
				}
				_, status, err := client.Write(&http1.Request{Request: r})
				if err != nil {
					log.Fatal(err)
				}
				if status == polled.Success {
					paths, more = paths[1:], true
				}
			}
		}
		return answers
	}
	late := time.After(time.Minute)
	for answers := poll(); answers < 2; {
		select {
		case <-wake:
		case path := <-asked:
			paths = append(paths, path)
		case <-late:
			log.Fatal("there is no answer")
		}
		answers += poll()
	}
	// Output:
	// 200 OK: hello from /one
	// 200 OK: hello from /two
}
