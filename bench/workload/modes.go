package workload

// The modes of a server: what it does with what it receives.
const (
	ModeEcho      = "echo"
	ModeFrameEcho = "frame-echo"
	ModeConnEcho  = "conn-echo"
	ModeDiscard   = "discard"
	ModeFanOut    = "fan-out"
	ModeWorker    = "worker"
)

// Modes lists all of them.
var Modes = []string{ModeEcho, ModeFrameEcho, ModeConnEcho, ModeDiscard, ModeFanOut, ModeWorker}

// ListModes is one line of help for each.
func ListModes() string {
	return `  echo         sends back what it receives
  frame-echo   decodes U64 frames, and answers each with one write of the same frame
  conn-echo    echo by a goroutine per connection, over a net.Conn, with reads of 64 KiB
  discard      drops what it receives
  fan-out      greets each connection with one byte 0x01, and sends everything it receives to all
  worker       echo, but a goroutine other than the loop writes the answer`
}

// FutureModes are reserved names that no implementation has yet.
var FutureModes = []string{"tls-echo", "http"}

// Greeting is the byte that a fan-out server sends to a connection as soon as it receives all messages.
const Greeting = 0x01
