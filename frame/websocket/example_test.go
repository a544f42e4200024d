package websocket_test

import (
	"fmt"
	"net/url"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
)

// Both ends of a connection, without the connection: a handshake, and one message in two fragments.
func Example() {
	client := &websocket.Client{URL: &url.URL{Scheme: "ws", Host: "localhost", Path: "/chat"}, Subprotocols: []string{"chat"}}
	server := &websocket.Server{Subprotocols: []string{"chat"}}
	request, err := client.Request()
	if err != nil {
		fmt.Println(err)
		return
	}
	wire, _ := http1.Requests{}.Append(nil, request)
	received, _, _, _ := http1.Requests{}.NewDecoder().Decode(wire)
	answer, _, err := server.Answer(received.Request)
	if err != nil {
		fmt.Println(err)
		return
	}
	agreed, err := client.Check(answer)
	fmt.Println(agreed.Subprotocol, err)

	theirs, ours := websocket.Codec{Client: true}, websocket.Codec{}
	wire, _ = theirs.Append(nil, websocket.Frame{Opcode: websocket.Text, Payload: []byte("hel")})
	wire, _ = theirs.Append(wire, websocket.Frame{Opcode: websocket.Continuation, Fin: true, Payload: []byte("lo")})
	decoder, assembler := ours.NewDecoder(), websocket.NewAssembler(ours)
	for len(wire) > 0 {
		f, n, need, err := decoder.Decode(wire)
		if err != nil || need > 0 {
			fmt.Println(need, "more bytes,", err)
			return
		}
		m, whole, err := assembler.Add(f) // unmasks in wire
		if err != nil {
			fmt.Println("close with", websocket.CodeOf(err))
			return
		}
		if whole {
			fmt.Printf("%v: %s\n", m.Kind, m.Data)
		}
		wire = wire[n:]
	}
	// Output:
	// chat <nil>
	// text: hello
}
