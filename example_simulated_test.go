package tandem_test

import (
	"encoding/binary"
	"fmt"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
)

// summer answers each message, a length in four bytes and so many bytes behind it, with the sum of its bytes.
type summer struct {
	tandem.BaseHandler
	careful bool // it waits until a message is whole
}

func (h summer) OnData(s *tandem.Stream) {
	for s.Buffered() >= 4 {
		head, _ := s.Peek(4)
		n := int(binary.BigEndian.Uint32(head))
		if h.careful && s.Buffered() < 4+n {
			return
		}
		message, _ := s.Next(min(4+n, s.Buffered())) // the bug: what has come need not be all
		sum := byte(0)
		for _, b := range message[4:] {
			sum += b
		}
		_, _ = s.Write([]byte{sum})
	}
}

// ask sends the message "abc" to a summer in a world that a seed decides, and reports whether the answer is right.
func ask(seed uint64, h summer) bool {
	k := simulated.New(simulated.Config{Seed: seed, Faults: simulated.Faults{ShortRead: 0.05}})
	t, err := tandem.Simulated(k, nil)
	if err != nil {
		panic(err)
	}
	defer t.Close()
	l, err := t.Listen("tcp", "localhost:0", h, nil)
	if err != nil {
		panic(err)
	}
	client, err := k.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	client.Send([]byte{0, 0, 0, 3, 'a', 'b', 'c'})
	client.Finish()
	if err := k.Run(client.EOF, t); err != nil {
		panic(err)
	}
	return string(client.Received()) == string([]byte{('a' + 'b' + 'c') & 0xff})
}

// A handler that takes what has come for a whole message passes every test over loopback, where a small message comes in
// one piece. A simulated kernel finds the read that is short, and finds it again for the same seed.
func ExampleSimulated() {
	for _, h := range []summer{{careful: false}, {careful: true}} {
		wrong := 0
		for seed := range uint64(100) {
			if !ask(seed, h) {
				wrong++
			}
		}
		fmt.Printf("careful: %v, wrong for some of 100 seeds: %v\n", h.careful, wrong > 0)
	}

	// Output:
	// careful: false, wrong for some of 100 seeds: true
	// careful: true, wrong for some of 100 seeds: false
}
