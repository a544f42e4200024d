package tandem_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/tandem-io/tandem"
)

// relayTo is a TCP proxy: it dials the target for each stream, and joins the two.
type relayTo struct {
	tandem.BaseHandler
	transport tandem.Transport
	target    string
	done      func(error, tandem.RelayStats)
}

func (p relayTo) OnOpen(s *tandem.Stream) {
	o := &tandem.DialOptions{SameLoop: s, Timeout: 10 * time.Second}
	o.HalfCloseTimeout = time.Minute // a peer that has gone looks like one that has only finished
	to, err := p.transport.Connect("tcp", p.target, tandem.BaseHandler{}, o)
	if err == nil {
		err = tandem.Relay(s, to, &tandem.RelayOptions{OnDone: p.done})
	}
	if err != nil {
		_ = s.AbortWith(err)
	}
}

// A TCP proxy. Bytes go from one stream to the other in the memory in which they came; half close, back-pressure and
// failures pass through.
func ExampleRelay() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	target, err := t.Listen("tcp", "127.0.0.1:0", echo{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan tandem.RelayStats, 1)
	proxy := relayTo{transport: t, target: target.Addr().String(), done: func(_ error, s tandem.RelayStats) { done <- s }}
	l, err := t.Listen("tcp", "127.0.0.1:0", proxy, nil)
	if err != nil {
		log.Fatal(err)
	}

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(c, "there and back"); err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, len("there and back"))
	if _, err := io.ReadFull(c, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)
	_ = c.Close()
	s := <-done
	fmt.Println(s.FromA, s.FromB)
	// Output:
	// there and back
	// 14 14
}
