package workload

// What a server can do with what it gets.
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
	return `  echo         sends back what it gets
  frame-echo   decodes U64 frames, and answers each with one write of the same frame
  conn-echo    echo by a goroutine per connection, over a net.Conn, with reads of 64 KiB
  discard      drops what it gets
  fan-out      greets each connection with one byte 0x01, and sends what comes from one to all
  worker       echo, where a goroutine that is not the loop writes the answer`
}

// FutureModes are names that are taken, and nothing has them.
var FutureModes = []string{"tls-echo", "http"}

// Greeting is what a fan-out server sends to a connection as soon as it belongs to those that get everything.
const Greeting = 0x01
