package tandem_test

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"github.com/tandem-io/tandem"
)

// slowPolicy is what a topic does with a subscriber that reads more slowly than messages come.
type slowPolicy int

const (
	skip       slowPolicy = iota // it misses messages until its queue is in bounds again
	dropOldest                   // as many of the last messages wait for it as a topic keeps
	disconnect                   // it is reset
)

var errTooSlow = errors.New("the subscriber is too slow")

// topic sends each message to all of its subscribers, which may be on any loops.
type topic struct {
	tandem.BaseHandler
	slow slowPolicy
	keep int // messages that wait for one subscriber, with dropOldest

	mu          sync.Mutex // guards what follows
	subscribers map[*tandem.Stream]*subscriber
}

// subscriber is what waits for one stream, oldest first.
type subscriber struct{ waiting []*tandem.Buffer }

func (t *topic) OnOpen(s *tandem.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers[s] = &subscriber{}
}

func (t *topic) OnClose(s *tandem.Stream, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.subscribers[s].waiting {
		b.Release()
	}
	delete(t.subscribers, s)
}

// publish writes one message to all, in the same memory. Any goroutine.
func (t *topic) publish(b *tandem.Buffer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, sub := range t.subscribers {
		switch {
		case s.Writable() && len(sub.waiting) == 0:
			send(s, b.Share())
		case t.slow == disconnect:
			_ = s.AbortWith(errTooSlow)
		case t.slow == dropOldest:
			if len(sub.waiting) == t.keep {
				sub.waiting[0].Release()
				sub.waiting = sub.waiting[1:]
			}
			sub.waiting = append(sub.waiting, b.Share())
			_ = s.Post(func() { t.OnWritable(s) }) // if it is writable by now, nobody calls that
		}
	}
	b.Release()
}

// OnWritable goes on with what waits.
func (t *topic) OnWritable(s *tandem.Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sub := t.subscribers[s]
	for sub != nil && len(sub.waiting) > 0 && s.Writable() {
		send(s, sub.waiting[0])
		sub.waiting = sub.waiting[1:]
	}
}

func send(s *tandem.Stream, b *tandem.Buffer) {
	if s.WriteBuffer(b) != nil {
		b.Release() // the stream has ended, and OnClose says why
	}
}

// One message to many streams: its bytes are there once, and their memory goes back when the last stream has sent them.
func ExampleNewBuffer() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	news := &topic{slow: dropOldest, keep: 16, subscribers: map[*tandem.Stream]*subscriber{}}
	l, err := t.Listen("tcp", "127.0.0.1:0", news, nil)
	if err != nil {
		log.Fatal(err)
	}
	var readers []*bufio.Reader
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		defer c.Close()
		readers = append(readers, bufio.NewReader(c))
	}
	for subscribed := 0; subscribed < len(readers); time.Sleep(time.Millisecond) { // Dial returns before OnOpen
		news.mu.Lock()
		subscribed = len(news.subscribers)
		news.mu.Unlock()
	}

	news.publish(tandem.NewBuffer(t, []byte("hello\n")))
	for _, r := range readers {
		line, err := r.ReadString('\n')
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(line)
	}
	// Output:
	// hello
	// hello
	// hello
}
