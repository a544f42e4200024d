package workload

import (
	"fmt"

	"github.com/tandem-io/tandem/bench/format"
)

// Workload is the load on a server. Samples are comparable if their workloads are equal.
type Workload struct {
	Kind  string `json:"kind"`            // the Name of one of Kinds
	Conns int    `json:"conns"`           //
	Size  int    `json:"size"`            // bytes of a message
	Depth int    `json:"depth"`           // messages of a connection in flight
	Rate  int    `json:"rate"`            // messages per second offered, of all connections together; 0: closed loop
	Procs int    `json:"procs,omitempty"` // GOMAXPROCS of the server, if it is not that of the run; 0: it is
}

// String describes the workload as tables and messages do.
func (w Workload) String() string {
	text := fmt.Sprintf("%s, %d connection%s", w.Kind, w.Conns, format.Plural(w.Conns))
	if w.Size > 0 {
		text += " × " + format.Size(w.Size)
	}
	if w.Depth > 1 {
		text += fmt.Sprintf(", %d in flight", w.Depth)
	}
	if w.Rate > 0 {
		text += fmt.Sprintf(", %s/s offered", format.Grouped(float64(w.Rate)))
	}
	if w.Procs > 0 {
		text += fmt.Sprintf(", GOMAXPROCS %d", w.Procs)
	}
	return text
}

// Mode is the mode of the server that the workload needs.
func (w Workload) Mode() string {
	k, err := findKind(w.Kind)
	if err != nil {
		panic(err) // Check refuses such a workload
	}
	return k.Mode
}

// Check returns an error for a workload that is impossible.
func (w Workload) Check() error {
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
	case k.Size > 0 && w.Size != k.Size:
		return fmt.Errorf("messages of %s have %d bytes: omit --size %d", w.Kind, k.Size, w.Size)
	case w.Procs < 0:
		return fmt.Errorf("bad GOMAXPROCS %d: want 1 or more, or 0 for that of the run", w.Procs)
	case w.Depth > 1 && !k.Deep:
		return fmt.Errorf("%s has one message in flight: omit --depth %d", w.Kind, w.Depth)
	case w.Rate < 0 || w.Rate > 1e9:
		return fmt.Errorf("bad rate %d: want messages per second, or 0 for a closed loop", w.Rate)
	case w.Rate > 0 && !k.Paced:
		return fmt.Errorf("%s cannot be offered at a rate: omit --rate %d", w.Kind, w.Rate)
	case w.Rate > 0 && w.Depth > 1:
		return fmt.Errorf("at a rate, messages are sent when they are due: omit --depth %d", w.Depth)
	}
	return nil
}
