package workload

import (
	"fmt"
	"strings"
)

// Kind is a kind of load. The meaning of the fields of a Workload depends on it.
type Kind struct {
	Name  string
	Mode  string // of the server
	About string
	Deep  bool // more than one message of a connection may be in flight
	Paced bool // it can be offered at a fixed rate
	Size  int  // bytes of a message, if they cannot be chosen
}

// The names of the kinds.
const (
	KindEcho      = "echo"
	KindFrameEcho = "frame-echo"
	KindConnEcho  = "conn-echo"
	KindStream    = "stream"
	KindFanOut    = "fan-out"
	KindChurn     = "churn"
	KindIdle      = "idle"
	KindWorker    = "worker"
	KindTLSEcho   = "tls-echo"
	KindTLSFull   = "tls-full"
	KindTLSResume = "tls-resume"
	KindTLSIdle   = "tls-idle"
	KindWSEcho    = "ws-echo"
	KindHTTP      = "http"
	KindHTTPStd   = "http-handler"
)

// Kinds lists all of them, in the order of the help.
var Kinds = []Kind{
	{Name: KindEcho, Mode: ModeEcho, Deep: true, Paced: true,
		About: "every connection sends --depth messages, waits for all answers, and sends the next"},
	{Name: KindFrameEcho, Mode: ModeFrameEcho, Deep: true, Paced: true,
		About: "the same with U64 frames, which the server decodes and answers one by one"},
	{Name: KindConnEcho, Mode: ModeConnEcho, Deep: true, Paced: true,
		About: "echo from a goroutine per connection, over a net.Conn"},
	{Name: KindStream, Mode: ModeDiscard,
		About: "one way: every connection sends as fast as it can, and the server drops the data"},
	{Name: KindFanOut, Mode: ModeFanOut, Deep: true,
		About: "one connection sends, and all receive; a message counts once per receiver"},
	{Name: KindChurn, Mode: ModeEcho,
		About: "connect, send one message, receive its echo, reset the connection, repeat; --conns at a time"},
	{Name: KindIdle, Mode: ModeEcho,
		About: "resident memory per connection, of --conns connections that exchanged one message each"},
	{Name: KindWorker, Mode: ModeWorker, Deep: true, Paced: true,
		About: "echo, but a worker goroutine of the server writes the answer"},
	{Name: KindTLSEcho, Mode: ModeTLSEcho, Deep: true, Paced: true, About: "echo over TLS 1.3"},
	{Name: KindTLSFull, Mode: ModeTLSEcho, About: "churn over TLS: each connection makes a full handshake"},
	{Name: KindTLSResume, Mode: ModeTLSEcho, About: "the same, but each connection resumes the session of the one before it"},
	{Name: KindTLSIdle, Mode: ModeTLSEcho, About: "idle over TLS"},
	{Name: KindWSEcho, Mode: ModeWSEcho, Deep: true, Paced: true,
		About: "echo of WebSocket messages, each in one frame, masked by the client"},
	{Name: KindHTTP, Mode: ModeHTTP, Deep: true, Paced: true, Size: len(Hello),
		About: "requests, --depth of them pipelined; a message is the content of an answer"},
	{Name: KindHTTPStd, Mode: ModeHTTPStd, Deep: true, Paced: true, Size: len(Hello),
		About: "the same, answered by an http.Handler"},
}

// findKind looks up a name that a user typed.
func findKind(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("unknown kind of load %q: choose one of %s", name, strings.Join(names, ", "))
}

// ListKinds is one line of help for each.
func ListKinds() string {
	var b strings.Builder
	for _, k := range Kinds {
		fmt.Fprintf(&b, "  %-12s %s\n", k.Name, k.About)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// IsIdle reports whether the kind looks at the memory of connections that are silent.
func IsIdle(kind string) bool { return kind == KindIdle || kind == KindTLSIdle }

// SizeOf is the size of a message: that of the kind, if it cannot be chosen, else size.
func SizeOf(kind string, size int) int {
	if k, err := findKind(kind); err == nil && k.Size > 0 {
		return k.Size
	}
	return size
}
