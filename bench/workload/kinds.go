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
)

// Kinds lists all of them, in the order of the help.
var Kinds = []Kind{
	{KindEcho, ModeEcho, "every connection sends --depth messages, waits for all answers, and sends the next", true, true},
	{KindFrameEcho, ModeFrameEcho, "the same with U64 frames, which the server decodes and answers one by one", true, true},
	{KindConnEcho, ModeConnEcho, "echo from a goroutine per connection, over a net.Conn", true, true},
	{KindStream, ModeDiscard, "one way: every connection sends as fast as it can, and the server drops the data", false, false},
	{KindFanOut, ModeFanOut, "one connection sends, and all receive; a message counts once per receiver", true, false},
	{KindChurn, ModeEcho, "connect, send one message, receive its echo, reset the connection, repeat; --conns at a time", false, false},
	{KindIdle, ModeEcho, "resident memory per connection, of --conns connections that exchanged one message each", false, false},
	{KindWorker, ModeWorker, "echo, but a worker goroutine of the server writes the answer", true, true},
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
