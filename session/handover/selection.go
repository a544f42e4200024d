package handover

import (
	"net"

	"github.com/tandem-io/tandem/session"
)

// Transport is what Giver.Streams needs of one.
type Transport interface {
	Loop(i int) session.Loop
	Stats() session.Stats
}

// Selection says which streams Giver.Streams gives, and what becomes of those that it cannot give.
type Selection struct {
	// Select is called on the loop, and reports whether a stream is to go. Streams with TLS, and those of a
	// Relay, are left out. Default nil: all others go.
	Select func(s *session.Stream) bool

	// Describe is the describe of Stream. Default nil: no name and no state.
	Describe func(s *session.Stream) (name string, state []byte)

	// Kept is called for a stream that was detached and could not be given, and why. The Conn is the program's, which gives
	// it to Adopt, for example, so that it is not lost; s has ended. Several goroutines call it at once. It must not be
	// nil.
	Kept func(s *session.Stream, c net.Conn, err error)
}
