// Package session holds the one state machine of a connection, the Stream, and what makes streams: listeners and
// dials. It knows no kernel; a backend.Driver moves its bytes.
//
//	driver ── Received ─► in: lent bytes, or what was left unread ─► OnData ─► Peek Next Read
//	                                                                   │
//	driver ◄── Send ───── out: queue of segments ◄───────────────── Write, from any goroutine
//
// A stream's life is one walk through its phases:
//
//	dialing ──► open ──► closing ──► releasing ──► closed
//	   │          │     (queue goes   (kernel lets     (descriptor closed,
//	   │          │      out)          go of it)        OnClose ran)
//	   └──────────┴───────────────────────┘ Abort, failure
//
// Callbacks run on the loop's goroutine, from the top of the loop only: an event of the driver, a task, a timer, or the
// end of a turn. A method that a callback calls marks the stream for the end of the turn and never calls back itself.
package session
