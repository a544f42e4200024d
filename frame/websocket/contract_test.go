package websocket_test

import (
	"bytes"
	"testing"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/frametest"
	"github.com/tandem-io/tandem/frame/websocket"
)

// TestContract holds the frames of clients, which are masked, and of servers to the contract of codecs.
func TestContract(t *testing.T) {
	for name, c := range map[string]struct{ sender, receiver websocket.Codec }{
		"of a client": {websocket.Codec{Client: true}, websocket.Codec{}},
		"of a server": {websocket.Codec{}, websocket.Codec{Client: true}},
		"short":       {websocket.Codec{}, websocket.Codec{Client: true, MaxMessage: 300}},
	} {
		t.Run(name, func(t *testing.T) {
			frametest.Run(t, frametest.Subject[websocket.Frame]{
				Codec:  c.receiver,
				Sender: c.sender,
				Message: func(raw []byte) websocket.Frame {
					kind := websocket.Binary
					if len(raw)%3 == 1 {
						kind = websocket.Ping
						raw = raw[:min(len(raw), 125)]
					}
					return websocket.Frame{Opcode: kind, Fin: true, Payload: append([]byte{}, raw...)}
				},
				Clone: func(f websocket.Frame) websocket.Frame {
					f.Payload = bytes.Clone(f.Payload)
					f.Unmask()
					f.Mask = [4]byte{}
					return f
				},
				InPlace:      func(f websocket.Frame) []byte { return f.Payload },
				NoAllocation: true,
			})
		})
	}
}

var _ frame.Codec[websocket.Frame] = websocket.Codec{}
