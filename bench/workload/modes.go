package workload

// The modes of a server: what it does with what it receives.
const (
	ModeEcho      = "echo"
	ModeFrameEcho = "frame-echo"
	ModeConnEcho  = "conn-echo"
	ModeDiscard   = "discard"
	ModeFanOut    = "fan-out"
	ModeWorker    = "worker"
	ModeTLSEcho   = "tls-echo"
	ModeWSEcho    = "ws-echo"
	ModeHTTP      = "http"
	ModeHTTPStd   = "http-handler"
)

// Modes lists all of them.
var Modes = []string{ModeEcho, ModeFrameEcho, ModeConnEcho, ModeDiscard, ModeFanOut, ModeWorker, ModeTLSEcho, ModeWSEcho, ModeHTTP, ModeHTTPStd}

// ListModes is one line of help for each.
func ListModes() string {
	return `  echo         sends back what it receives
  frame-echo   decodes U64 frames, and answers each with one write of the same frame
  conn-echo    echo by a goroutine per connection, over a net.Conn, with reads of 64 KiB
  discard      drops what it receives
  fan-out      greets each connection with one byte 0x01, and sends everything it receives to all
  worker       echo, but a goroutine other than the loop writes the answer
  tls-echo     echo over TLS 1.3, with a certificate that is made when the server starts
  ws-echo      accepts WebSocket connections at any path, and sends every message back
  http         answers every HTTP/1.1 request with 200, text/plain and "Hello, World!", by the cheapest handler there is
  http-handler the same by an http.Handler`
}

// Greeting is the byte that a fan-out server sends to a connection as soon as it receives all messages.
const Greeting = 0x01

// Hello is the content of every answer of a server in modes http and http-handler.
const Hello = "Hello, World!"
