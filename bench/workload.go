//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// kind is a kind of load. What the fields of a workload mean depends on it.
type kind struct {
	Name  string
	Mode  string // of the server
	About string
	Deep  bool // more than one message of a connection may be in flight
	Paced bool // it can be offered at a fixed rate
}

const (
	kindEcho      = "echo"
	kindFrameEcho = "frame-echo"
	kindConnEcho  = "conn-echo"
	kindStream    = "stream"
	kindFanOut    = "fan-out"
	kindChurn     = "churn"
	kindIdle      = "idle"
	kindWorker    = "worker"
)

// kinds lists all of them, in the order of the help.
var kinds = []kind{
	{kindEcho, modeEcho, "every connection sends --depth messages, waits until all came back, and sends the next", true, true},
	{kindFrameEcho, modeFrameEcho, "the same with U64 frames, which the server decodes and answers one by one", true, true},
	{kindConnEcho, modeConnEcho, "echo from a goroutine per connection, over a net.Conn", true, true},
	{kindStream, modeDiscard, "one way: every connection sends as fast as it can, and the server drops it", false, false},
	{kindFanOut, modeFanOut, "one connection sends, and all get it; a message counts once for each", true, false},
	{kindChurn, modeEcho, "connect, one message, its echo, close by a reset, again; --conns at a time", false, false},
	{kindIdle, modeEcho, "resident memory that each of --conns connections adds, which exchanged one message each", false, false},
	{kindWorker, modeWorker, "echo, where a worker goroutine of the server writes the answer", true, true},
}

// findKind looks up a name that a user typed.
func findKind(name string) (kind, error) {
	var names []string
	for _, k := range kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return kind{}, fmt.Errorf("unknown kind of load %q: choose one of %s", name, strings.Join(names, ", "))
}

// listKinds is one line of help for each.
func listKinds() string {
	var b strings.Builder
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %-12s %s\n", k.Name, k.About)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// mode is what the server has to do.
func (w workload) mode() string {
	k, err := findKind(w.Kind)
	if err != nil {
		panic(err) // check has seen it
	}
	return k.Mode
}

// check reports a workload that there cannot be.
func (w workload) check() error {
	k, err := findKind(w.Kind)
	if err != nil {
		return err
	}
	const most = 1 << 20 // connections, and bytes of one connection in flight
	switch {
	case w.Conns < 1 || w.Conns > most:
		return fmt.Errorf("bad number of connections %d: want 1 to %d", w.Conns, most)
	case w.Size < 1 || w.Depth < 1 || w.Size > most || w.Depth > most/w.Size:
		return fmt.Errorf("bad size %d and depth %d: want 1 or more, and at most %d bytes together", w.Size, w.Depth, most)
	case w.Depth > 1 && !k.Deep:
		return fmt.Errorf("%s has one message in flight: leave --depth %d away", w.Kind, w.Depth)
	case w.Rate < 0 || w.Rate > 1e9:
		return fmt.Errorf("bad rate %d: want messages per second, or 0 for a closed loop", w.Rate)
	case w.Rate > 0 && !k.Paced:
		return fmt.Errorf("%s cannot be offered at a rate: leave --rate %d away", w.Kind, w.Rate)
	case w.Rate > 0 && w.Depth > 1:
		return fmt.Errorf("at a rate, messages are sent when they are due: leave --depth %d away", w.Depth)
	}
	return nil
}

// supports tells whether the implementation can serve the workload.
func (im implementation) supports(w workload) bool { return slices.Contains(im.Modes, w.mode()) }
