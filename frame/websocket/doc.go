// Package websocket has the codec of WebSocket frames, the assembly of messages, and both sides of the opening handshake,
// as defined by RFC 6455, with the extension permessage-deflate of RFC 7692. It is pure: no I/O, no locks, no goroutines.
//
//	http1.Request ──► Server.Answer ──► 101, or a refusal          http1.Response ──► Client.Check
//	                        │                                             │
//	                        └──────────────► Agreement ◄──────────────────┘
//
//	bytes ──► Decoder ──► Frame ──► Assembler ──► Message: Text, Binary, Ping, Pong, Close
//	           │                      │
//	           │ header: bits,        │ unmasks, joins fragments, inflates,
//	           │ opcodes, lengths,    │ checks UTF-8 and close codes
//	           │ limits               │
//	           └──── *frame.Error ────┴──► CodeOf: 1002, 1007, 1009
//
//	Message ──► Frame ──► Codec.Append ──► bytes, masked if they are a client's
//
// Package session/wssession has connections that are built of these parts.
//
// # Masks
//
// A client's payload arrives masked. Decode does not change the bytes it is given, so Payload of a [Frame] is what arrived.
// [Frame.Unmask], which Assembler.Add calls, unmasks it in place: the memory must be the caller's to change. A client's
// frames get a mask from crypto/rand, a new one for each frame.
//
// # Memory
//
// Payload of a frame, and Data of a message that is one frame and not compressed, refer to the bytes that were decoded.
// Other messages are in memory that grows as their fragments arrive, or as they are inflated, up to MaxMessage. A header
// that announces more is refused before the payload arrives.
//
// # Compression
//
// Neither side keeps a context between two messages: server_no_context_takeover and client_no_context_takeover are always
// agreed upon. To deflate, a context of compress/flate takes 0.8 to 1.2 MB; so contexts are shared by all connections, and
// each is used for one message at a time. compress/flate has one size of window, so an offer that demands a smaller one of
// this server is declined.
package websocket
