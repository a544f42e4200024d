package tandem

import "github.com/tandem-io/tandem/session"

// RelayOptions are the options of [Relay]. The zero value is right for most programs.
//
//   - [session.RelayOptions.OnDone] is called once, when both streams have ended, with the error and the figures.
type RelayOptions = session.RelayOptions

// RelayStats are the figures of a relay that has ended. With TLS they count plain bytes.
//
//   - [session.RelayStats.FromA] counts bytes that came from the peer of a, and were given to b.
//   - [session.RelayStats.FromB] counts bytes that came from the peer of b, and were given to a.
type RelayStats = session.RelayStats

// Relay joins two streams: what comes from one goes to the other, both ways, in the memory that it came in; on epoll, where
// much comes and both are plain, by splice(2). They may be on different loops, be of different Transports, and have TLS or
// not. o may be nil.
//
// Relay takes the streams over. Their handlers are replaced, and get no OnData and no OnEOF any longer: at once where
// Relay is called on the stream's loop, otherwise as by PauseRead and a function given to Post. A stream that is still
// being connected is taken over behind OnOpen; if it never opens, its own handler gets OnClose, and OnDone the error.
// Nothing moves before both are taken over. Bytes that are unread then go first, and what was written before is in front
// of all that comes. A stream that was paused goes on. Nobody else may read from the streams, write to them, pause them or
// set their handlers any longer; anybody may close or abort them, and set their timeouts.
//
//   - Half close: when the peer of one has finished, CloseWrite is called on the other, behind the last byte, and the
//     other direction goes on, whatever AllowHalfClose says. When both have finished, both are closed. Set a
//     HalfCloseTimeout or an IdleTimeout: a peer that has gone looks like one that has only finished.
//   - Back-pressure: while the queue of one is above its HighWater, the other does not read. So a direction holds at most
//     HighWater, ReadBufferLimit and 256 KiB.
//   - Failure: if one fails, what it has received is sent to the peer of the other, which is then reset, so that its peer
//     does not take what it got for all there was. That waits for a peer that takes no byte for the CloseTimeout. A FIN
//     without the close_notify of TLS is such a failure, io.ErrUnexpectedEOF. If one is reset at this end, by Abort, by a
//     timeout or by the end of its loop, so is the other, at once.
//   - Close of one closes the other in order. Shutdown leaves a relay alone until its context ends, and then aborts it.
//
// The error says why nothing was done, and then both streams are as they were: a stream is nil, both are the same, one
// has been closed, also by CloseWrite, or has ended (net.ErrClosed), or is relayed already. After nil, OnDone is called,
// whatever happens. Any goroutine; it does not block.
func Relay(a, b *Stream, o *RelayOptions) error { return session.Relay(a, b, o) }
