package tandem_test

import (
	"bytes"
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"time"

	"github.com/tandem-io/tandem"
)

// quiet are options of a Transport that logs nothing.
var quiet = &tandem.Options{Logger: slog.New(slog.DiscardHandler)}

type echo struct{ tandem.BaseHandler }

func (echo) OnData(s *tandem.Stream) {
	_, _ = s.WriteTo(s) // fails only if the stream has ended, and OnClose says why
}

// An echo server, and a client of package net.
func ExampleOpen() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", echo{}, nil)
	if err != nil {
		log.Fatal(err)
	}

	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		log.Fatal(err)
	}
	answer := make([]byte, len("hello\n"))
	if _, err := io.ReadFull(c, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", answer)
	// Output: hello
}

// greeter sends a line and waits for one. Its channel has room, so that the callback does not block.
type greeter struct {
	tandem.BaseHandler
	answer chan string
}

func (g *greeter) OnOpen(s *tandem.Stream) {
	_, _ = s.Write([]byte("hello\n"))
}

func (g *greeter) OnData(s *tandem.Stream) {
	line, _ := s.Peek(-1)
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		return // what is left unread is seen again, with the next bytes behind it
	}
	line, _ = s.Next(end + 1)
	g.answer <- string(line)
	_ = s.Close()
}

// Dial waits for the connection; the answer comes to the Handler.
func ExampleTransport_dial() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", echo{}, nil)
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	g := &greeter{answer: make(chan string, 1)}
	s, err := t.Dial(ctx, "tcp", l.Addr().String(), g, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the server's address is the stream's remote one:", s.RemoteAddr().String() == l.Addr().String())
	fmt.Print(<-g.answer)
	// Output:
	// the server's address is the stream's remote one: true
	// hello
}

// A Transport without a goroutine: it lives in Poll, on the goroutine that calls it.
func ExampleTransport_callerDriven() {
	t, err := tandem.Open(&tandem.Options{CallerDriven: true, Logger: quiet.Logger})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "127.0.0.1:0", echo{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	g := &greeter{answer: make(chan string, 1)}
	if _, err := t.Connect("tcp", l.Addr().String(), g, nil); err != nil { // Dial would wait, and nobody would Poll
		log.Fatal(err)
	}

	for { // the duty cycle
		if _, err := t.Poll(time.Millisecond); err != nil { // the network's turn
			log.Fatal(err)
		}
		select { // the program's own turn
		case line := <-g.answer:
			fmt.Print(line)
			return
		default:
		}
	}
	// Output: hello
}

// producer sends its chunks, no faster than its peer reads.
type producer struct {
	tandem.BaseHandler
	chunk  []byte
	chunks int // still to send
	peak   int // the longest queue
}

func (p *producer) OnOpen(s *tandem.Stream) { p.OnWritable(s) }

func (p *producer) OnWritable(s *tandem.Stream) {
	for p.chunks > 0 && s.Writable() {
		_, _ = s.Write(p.chunk)
		p.chunks--
		p.peak = max(p.peak, s.Queued())
	}
	if p.chunks == 0 {
		_ = s.Close() // what is queued goes out first
	}
}

// A handler that stops at HighWater and goes on in OnWritable holds little memory, however slow its peer is.
func ExampleHandler_backPressure() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	p := &producer{chunk: make([]byte, 16<<10), chunks: 1024}
	limits := tandem.StreamOptions{HighWater: 128 << 10, LowWater: 64 << 10}
	l, err := t.Listen("tcp", "127.0.0.1:0", p, &tandem.ListenOptions{StreamOptions: limits})
	if err != nil {
		log.Fatal(err)
	}

	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	n, err := io.Copy(io.Discard, c)
	fmt.Println("bytes:", n, err)
	_ = t.Close() // every callback has run when it returns
	fmt.Println("in bounds:", p.peak <= limits.HighWater+len(p.chunk))
	// Output:
	// bytes: 16777216 <nil>
	// in bounds: true
}

// One line publishes the figures, for /debug/vars and whatever else reads them.
func ExampleTransport_expvar() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	expvar.Publish("tandem", expvar.Func(func() any { return t.Stats() }))

	var published tandem.Stats
	if err := json.Unmarshal([]byte(expvar.Get("tandem").String()), &published); err != nil {
		log.Fatal(err)
	}
	fmt.Println("streams:", published.Streams)
	// Output: streams: 0
}

// farewell echoes, and says goodbye when the Transport shuts down.
type farewell struct{ echo }

func (farewell) OnDrain(s *tandem.Stream) {
	_, _ = s.Write([]byte("the server goes down\n"))
	_ = s.Close()
}

// Shutdown waits for streams whose handlers have OnDrain until they close; ctx says for how long.
func ExampleDrainer() {
	t, err := tandem.Open(quiet)
	if err != nil {
		log.Fatal(err)
	}
	l, err := t.Listen("tcp", "127.0.0.1:0", farewell{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		log.Fatal(err)
	}
	line := make([]byte, len("hello\n"))
	if _, err := io.ReadFull(c, line); err != nil { // so the server has the connection, and not only the kernel
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("shutdown:", t.Shutdown(ctx))
	rest, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", rest, err)
	// Output:
	// shutdown: <nil>
	// the server goes down
	// <nil>
}
