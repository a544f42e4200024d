package tandem_test

import (
	"fmt"
	"log"
	"net"
	"time"

	"github.com/tandem-io/tandem"
)

// A listener bounds what one address may have: two connections at a time, and ten a second.
func ExampleSourceLimits() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", echo{}, &tandem.ListenOptions{
		PerSource: tandem.SourceLimits{MaxConns: 2, Rate: 10},
	})
	if err != nil {
		log.Fatal(err)
	}
	ask := func() string {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return "reset"
		}
		_, _ = c.Write([]byte("hello"))
		answer := make([]byte, 5)
		if _, err = c.Read(answer); err != nil {
			return "reset"
		}
		return string(answer) // and the connection stays open
	}
	fmt.Println(ask(), ask(), ask())
	fmt.Println("rejected:", l.Stats().SourceRejected)
	// Output:
	// hello hello reset
	// rejected: 1
}

// Stats of a stream tell when it was last heard of.
func ExampleStreamStats() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", echo{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("hello"))
	_, _ = c.Read(make([]byte, 5))

	found := make(chan tandem.StreamStats, 1)
	for i := range t.Info().Loops {
		_ = t.Loop(i).Each(func(s *tandem.Stream) { found <- s.Stats() })
	}
	st := <-found
	fmt.Println("in, out:", st.BytesIn, st.BytesSent)
	fmt.Println("quiet for a minute:", time.Since(st.LastRead) > time.Minute)
	fmt.Println("read after it was opened:", !st.LastRead.Before(st.Opened))
	// Output:
	// in, out: 5 5
	// quiet for a minute: false
	// read after it was opened: true
}
