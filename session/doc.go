// Package session holds the state machine of a connection, the [Stream]; listeners and dials, which make streams; and
// [Frames], which turns the bytes of a stream into messages. It knows no kernel: a backend.Driver moves its bytes.
// Programs use most of it by its names in package tandem.
//
//	your code          func(s *Stream, m M)     WriteFrame        session/polled: sessions that their caller drives
//	                          ▲                    │                  │
//	messages                Frames                 │              MessageBuffer, WritePart, DetachWith, StreamPoller
//	                          ▲                    ▼                  │
//	bytes                     └───── Stream ◄──────┴──────────────────┘
//
// How bytes pass through a Stream:
//
//	driver ── Received ─► in: lent bytes, or what was left unread ─► OnData ─► Peek Next Read
//	                                                                   │
//	driver ◄── Send ───── out: queue of segments ◄───────────────── Write, from any goroutine
//	       ◄── directly, in Flush, above 64 KiB, and from other goroutines while nothing is queued
//
// A stream's life is one walk through its phases:
//
//	dialing ──► open ──► closing ──► ending ──► releasing ──► closed
//	   │          │     (queue goes  (driver     (kernel lets    (descriptor closed,
//	   │          │      out)         is told)    go of it)       OnClose ran)
//	   │          ├────► detaching ──────────────────▲
//	   └──────────┴────────────────────▲ Abort, failure
//
// Bytes that the kernel still holds when a connection has failed are delivered between releasing and closed, over as
// many turns as that takes.
//
// Callbacks run on the loop's goroutine, and only from the top of the loop: because of an event of the driver, a task, a
// timer, or the end of a turn. A method that a callback calls schedules the stream for the end of the turn, and never
// calls back itself.
//
// # Messages
//
// [Frames] makes a Handler that calls a function once for each message. It decodes in place, and keeps the rules of a
// Stream: pauses, budgets and limits. [WriteFrame] encodes a message and writes it. A codec is one of package frame, or
// your own.
//
//	codec := frame.U64{MaxPayload: 1 << 20}
//	h := session.Frames(codec, func(s *session.Stream, m []byte) {
//		if err := session.WriteFrame(s, codec, m); err != nil {
//			_ = s.Abort()
//		}
//	})
//	l, err := t.Listen("tcp", "127.0.0.1:1337", h, nil)
//
// # Layers
//
// Package session/polled, and any other layer above a Stream, uses the methods of the Stream and these functions:
// [WritePart] takes what fits and [TellWritable] says when more does, [DetachWith] hands over the bytes that the layer holds,
// [CloseInStages] closes while the peer may still be sending, [OnListenerEnd] tells of a listener's end, [Memory] is the loop's
// memory, a [Poller] shares a CallerDriven Transport, and a [MessageBuffer] decodes messages from bytes that do not come from
// a Stream.
//
// # TLS
//
// With ListenOptions.TLS or DialOptions.TLS the bytes of a stream are encrypted by crypto/tls. The handshake runs on a
// goroutine of its own, and what comes then is decrypted on the loop, a whole record at a time:
//
//	driver ── Received ─► records ─► tls.Conn ─► in ─► OnData
//	driver ◄── Send ───── out ◄───── tls.Conn ◄─────── Write, from any goroutine
//
// crypto/tls allocates an object for each Read, and keeps a buffer of the size of the peer's records for each connection.
//
// # The contract
//
// CONTRACT.md in this directory says what a Stream promises on every backend. Each rule has a number, and a link to its
// tests.
package session
