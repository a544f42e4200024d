package tandem_test

import (
	"fmt"
	"log"
	"time"

	"github.com/tandem-io/tandem"
)

// A client that stays connected: when its connection ends, or cannot be made, it connects again after a pause that
// doubles each time, up to a limit, and begins anew once a peer has answered. The pause is a timer of a loop, so that no
// goroutine waits.
func Example_reconnect() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", &moody{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	c := &reconnecting{t: t, address: l.Addr().String(), answers: make(chan string, 3)}
	c.connect()
	for range 3 {
		fmt.Println(<-c.answers)
	}
	// Output:
	// welcome 1
	// welcome 2
	// welcome 3
}

// moody is a server that ends each connection behind a word. Its connections come one by one.
type moody struct {
	tandem.BaseHandler
	served int
}

func (m *moody) OnOpen(s *tandem.Stream) {
	m.served++
	fmt.Fprintf(s, "welcome %d", m.served)
	_ = s.Close()
}

const (
	firstPause   = time.Millisecond
	longestPause = time.Second
)

// reconnecting is the handler of one stream after another, so that no two of its methods run at a time.
type reconnecting struct {
	tandem.BaseHandler
	t       tandem.Transport
	address string
	pause   time.Duration
	answers chan string
}

func (c *reconnecting) connect() {
	if _, err := c.t.Connect("tcp", c.address, c, nil); err != nil { // the Transport has ended, or an option is wrong
		close(c.answers)
	}
}

func (c *reconnecting) OnData(s *tandem.Stream) {
	p, err := s.Next(s.Buffered())
	if err != nil {
		return
	}
	c.pause = 0
	select {
	case c.answers <- string(p):
	default: // a callback does not wait
	}
}

// OnClose comes also when the connection could not be made.
func (c *reconnecting) OnClose(*tandem.Stream, error) {
	c.pause = min(max(2*c.pause, firstPause), longestPause)
	_, _ = c.t.Loop(0).After(c.pause, c.connect) // an error: the Transport has ended
}
