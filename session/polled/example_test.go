package polled_test

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// Two goroutines share a Transport with loops of its own: each drives its Session.
func Example() {
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	listener, err := polled.Listen(t, "tcp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}

	go func() {
		client, err := polled.Connect(t, "tcp", listener.Addr().String(), nil)
		if err != nil {
			log.Fatal(err)
		}
		for rest, status := []byte("hello"), polled.Pending; status == polled.Pending; {
			if _, err := client.Drive(); err != nil {
				log.Fatal(err)
			}
			if rest, status, err = client.Write(rest); err != nil {
				log.Fatal(err)
			}
		}
		_ = client.Close()
	}()

	var server *polled.StreamSession
	for ok := false; !ok; time.Sleep(time.Millisecond) {
		if server, ok, err = listener.Accept(); err != nil {
			log.Fatal(err)
		}
	}
	for {
		if activity, err := server.Drive(); err != nil {
			log.Fatal(err)
		} else if activity == polled.Idle {
			time.Sleep(time.Millisecond) // or do other work
		}
		p, status, err := server.Read()
		if err != nil {
			fmt.Println(err)
			return
		}
		if status == polled.Data {
			fmt.Printf("%s\n", p)
		}
	}
	// Output:
	// hello
	// EOF
}

// Messages over any Session of bytes; here over one end of a connection in memory.
func ExampleNewFramed() {
	a, b := sessiontest.Pair(1024)
	client, server := polled.NewFramed(a, frame.Line{}, 0), polled.NewFramed(b, frame.Line{}, 0)

	_, _, _ = client.Write([]byte("hello"))
	_, _, _ = client.Write([]byte("world"))
	_ = client.Flush()
	for {
		m, status, err := server.Read()
		if err != nil || status != polled.Data {
			break
		}
		fmt.Printf("%s\n", m)
	}
	// Output:
	// hello
	// world
}

// A peer from which nothing arrives for a minute is given up.
func ExampleNewLiveness() {
	conn, _ := sessiontest.Pair(1024)
	now := time.Unix(0, 0)
	s := polled.NewLiveness(conn, time.Minute, polled.LifeRead)
	s.Now = func() time.Time { return now }

	_, err := s.Drive()
	fmt.Println(err)
	now = now.Add(61 * time.Second)
	_, err = s.Drive()
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded), s.Status())
	// Output:
	// <nil>
	// true terminated
}
