package tandem_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// A server whose messages are frames, called once for each, and a client of the same kind.
func Example_frames() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	codec := frame.U64{MaxPayload: 1 << 20}

	server := session.Frames(codec, func(s *tandem.Stream, m []byte) {
		if err := session.WriteFrame(s, codec, m); err != nil { // m is valid until here, and WriteFrame keeps nothing
			_ = s.Abort()
		}
	})
	l, err := t.Listen("tcp", "127.0.0.1:0", server, nil)
	if err != nil {
		log.Fatal(err)
	}

	answers := make(chan string, 2)
	client := session.Frames(codec, func(s *tandem.Stream, m []byte) { answers <- string(m) })
	s, err := t.Dial(context.Background(), "tcp", l.Addr().String(), client, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range []string{"hello", "world"} {
		if err := session.WriteFrame(s, codec, []byte(m)); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(<-answers, <-answers)
	// Output: hello world
}

// The same, polled: server and client live in one duty cycle, on one goroutine, on a Transport that has none.
func Example_sessions() {
	t, err := tandem.Open(&tandem.Options{CallerDriven: true, Logger: quiet.Logger})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	codec := frame.U64{MaxPayload: 1 << 20}

	listener, err := polled.Listen(t, "tcp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := polled.Connect(t, "tcp", listener.Addr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	client := polled.NewFramed(conn, codec, 4096)
	var servers []*polled.MessageSession[[]byte, []byte]

	request := []byte("hello")
	for sent := false; ; {
		if s, ok, err := listener.Accept(); err != nil {
			log.Fatal(err)
		} else if ok {
			servers = append(servers, polled.NewFramed(s, codec, 4096))
		}
		for _, s := range servers {
			echoFrame(s)
		}

		if _, err := client.Drive(); err != nil {
			log.Fatal(err)
		}
		if !sent {
			_, status, err := client.Write(request) // Pending while it connects: then it is passed again
			if err != nil {
				log.Fatal(err)
			}
			sent = status == polled.Success
		}
		answer, status, err := client.Read()
		if err != nil {
			log.Fatal(err)
		}
		if status == polled.Data {
			fmt.Printf("%s\n", answer)
			return
		}
	}
	// Output: hello
}

// echoFrame is what a server does with one session in each duty cycle.
func echoFrame(s *polled.MessageSession[[]byte, []byte]) {
	if _, err := s.Drive(); err != nil {
		_ = s.Close()
		return
	}
	if m, status, err := s.Read(); err == nil && status == polled.Data {
		// A server that answers more than its client reads keeps what is Pending, and reads nothing meanwhile.
		_, _, _ = s.Write(m)
	}
}

// A client that sends a heartbeat when it has an occasion to, and gives up a server of which it hears nothing.
func ExampleTransport_heartbeat() {
	t, err := tandem.Open(&tandem.Options{CallerDriven: true, Logger: quiet.Logger})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	listener, err := polled.Listen(t, "tcp", "127.0.0.1:0", nil)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := polled.Connect(t, "tcp", listener.Addr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}

	framed := polled.NewFramed(conn, frame.Line{}, 0)
	alive := polled.NewLiveness(framed, time.Minute, polled.LifeConnect|polled.LifeRead)
	client := polled.NewHeartbeat(alive, time.Millisecond, func(s polled.Session[[]byte, []byte]) (polled.Beat, error) {
		_, status, err := s.Write([]byte("still here"))
		if status == polled.Pending {
			return polled.Failed, err // the next Drive tries again
		}
		return polled.Sent, err
	})

	var server *polled.MessageSession[[]byte, []byte]
	for beats := 0; beats < 3; {
		if _, err := client.Drive(); err != nil { // os.ErrDeadlineExceeded after a minute of silence
			log.Fatal(err)
		}
		if server == nil {
			if s, ok, _ := listener.Accept(); ok {
				server = polled.NewFramed(s, frame.Line{}, 0)
			}
			continue
		}
		if _, err := server.Drive(); err != nil {
			log.Fatal(err)
		}
		if m, status, _ := server.Read(); status == polled.Data {
			fmt.Printf("%s\n", m)
			beats++
		}
	}
	// Output:
	// still here
	// still here
	// still here
}

// A tandem.Transport is what sessions ask for.
var _ polled.Transport = tandem.Transport(nil)
