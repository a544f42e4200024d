package tandem

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Stats are the figures of a Transport: of all its loops together, and of each. Counts are summed, and of times the
// longest is given. Those of streams add up: BytesIn equals BytesDelivered, BytesDropped, and what streams hold unread;
// Opened equals Closed and the streams that are open.
//
//   - [session.Stats.LoopStats] are the figures of all loops together.
//   - [session.Stats.Loops] are those of each loop.
//   - [session.Stats.Conns] are those of the connections of ListenConn and DialConn.
type Stats = session.Stats

// ConnStats are the figures of connections that are no streams, but net.Conns. Opened equals Closed and Open.
//
//   - [session.ConnStats.Open] is how many there are now.
//   - [session.ConnStats.Opened] counts those that Accept or DialConn has made.
//   - [session.ConnStats.Closed] counts those of them that were closed, by Close or by Shutdown.
//   - [session.ConnStats.BytesIn] counts bytes received from the kernel.
//   - [session.ConnStats.BytesOut] counts bytes that the kernel took.
type ConnStats = session.ConnStats

// LoopStats are the figures of one loop: counts since the Transport was opened, and how things stand now.
//
// Connections:
//
//   - [session.LoopStats.Streams] is how many streams are connected now.
//   - [session.LoopStats.Parked] is how many accepted connections wait for room, or for ResumeAccept.
//   - [session.LoopStats.Opened] counts streams whose OnOpen ran.
//   - [session.LoopStats.Closed] counts those of them whose OnClose ran.
//   - [session.LoopStats.Accepts] counts accepted connections.
//   - [session.LoopStats.AcceptErrors] counts accepts that failed.
//
// Bytes:
//
//   - [session.LoopStats.BytesIn] counts bytes received from the kernel.
//   - [session.LoopStats.BytesDelivered] counts those of them that handlers read.
//   - [session.LoopStats.BytesDropped] counts those of them that were unread when their stream ended.
//   - [session.LoopStats.BytesCopied] counts those of them that were copied.
//   - [session.LoopStats.BytesOut] counts bytes that the kernel took.
//   - [session.LoopStats.Reads] counts receives that brought bytes.
//   - [session.LoopStats.Writes] counts sends of which the kernel took bytes.
//   - [session.LoopStats.DirectWrites] counts those of them that ran on the writer's goroutine.
//
// Work:
//
//   - [session.LoopStats.Turns] counts turns of the loop.
//   - [session.LoopStats.Polls] counts polls of the kernel for events.
//   - [session.LoopStats.Sleeps] counts those of them that were allowed to block.
//   - [session.LoopStats.SystemCalls] counts system calls for sockets and polls.
//   - [session.LoopStats.Submissions] counts requests handed to io_uring.
//   - [session.LoopStats.Completions] counts completions of io_uring.
//   - [session.LoopStats.NoBuffers] counts receives by io_uring that found no buffer.
//   - [session.LoopStats.Overflows] counts overflows of io_uring's completion queue.
//   - [session.LoopStats.WakeUps] counts times that another goroutine woke the loop.
//   - [session.LoopStats.Timers] counts timers that fired.
//   - [session.LoopStats.Panics] counts panics caught in callbacks.
//   - [session.LoopStats.SlowCallbacks] counts callbacks that were found to take longer than Options.SlowCallback.
//   - [session.LoopStats.TLSHandshakes] counts TLS handshakes that were done.
//   - [session.LoopStats.TLSHandshakeErrors] counts those that failed.
//   - [session.LoopStats.TLSOverhead] counts received bytes that were no user's.
//   - [session.LoopStats.LongestTurn] is how long the longest turn took.
//   - [session.LoopStats.LongestCallback] is how long the longest callback for data took.
//   - [session.LoopStats.LongestCallbackStream] is the ID of its stream.
//   - [session.LoopStats.PostLag] counts how long posted work waited until it ran. One in 64 is measured.
//
// What the loop had handed out when it last went to sleep, or at most 64 turns ago:
//
//   - [session.LoopStats.Sockets] is how many sockets the kernel had.
//   - [session.LoopStats.Requests] is how many io_uring requests were in flight.
//   - [session.LoopStats.BuffersTaken] is how many receive buffers users had taken.
//   - [session.LoopStats.Starved] is how many sockets waited for receive buffers of io_uring.
type LoopStats = session.LoopStats

// Lags counts times by their length, in powers of two.
//
//   - [backend.Lags.Bound] is the time that all in one of the counts were shorter than, 2^i µs.
//   - [backend.Lags.Count] is how many times there are.
//   - [backend.Lags.Quantile] is the time that a share of them was shorter than.
//   - [backend.Lags.Plus] is the sum of two counts.
type Lags = backend.Lags
