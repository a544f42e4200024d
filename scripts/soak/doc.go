//go:build linux

// Command soak is the long test: it mixes everything that a Transport can do, at random and for as long as it is told,
// while faults happen around it, and writes a page of figures. scripts/soak.sh runs it.
//
//	weather     signals, GC, shortages of descriptors            watchdog     what did not come, with all stacks
//	   │                                                            │
//	   ▼                                                            ▼
//	soak ──► life ──► Transport: listeners, and servers that check and answer
//	  │        │           ▲
//	  │        └──► clients: net.Conns, streams, sessions, a process of its own
//	  ▼
//	page        figures, failures
//
// A run consists of lives. Each opens a Transport with options of its own, lets clients trouble it for some seconds, and
// ends it with everything alive. Then descriptors, goroutines and mappings must be where they were, and the figures of
// the Transport must add up.
//
// A connection carries bytes that follow from a key and their position, so both of its ends check every byte without
// keeping any. Its first bytes, a header, tell the server what to do. What a client may see follows from that: an error is
// a failure unless the header asked for it, or the life excuses it, because it was ending, or one of its loops had died.
package main
