// Package http1 has codecs of HTTP/1.0 and HTTP/1.1 messages: whole requests and whole responses, as RFC 9112 lays them
// out.
//
//	request-line or status-line CRLF     ─┐
//	*( field-name ":" OWS value OWS CRLF )│ head:    Limits.HeadBytes, Limits.HeadLines
//	CRLF                                 ─┘
//	content, in one of these forms:                  Limits.BodyBytes
//	  nothing
//	  Content-Length bytes
//	  until the peer closes                          responses only
//	  chunks:
//	    *( size [extensions] CRLF data CRLF )        Limits.ChunkLineBytes
//	    0 [extensions] CRLF
//	    *( field-name ":" OWS value OWS CRLF )       trailer: Limits.TrailerBytes, Limits.HeadLines
//	    CRLF
//
// What makes a head a head, where it ends and how long the content is, this package decides; what the lines mean is
// read by http.ReadRequest and http.ReadResponse, which get exactly the bytes of a head that has passed.
//
//	head ─┬───────────────────────────────────┬─► whole ─┬─► head      the next message
//	      ├─► length ─────────────────────────┤          ├─► ended     Close: what comes is thrown away
//	      ├─► until close ─ the peer finishes ┤          ├─► held      CONNECT: until Resume or Switch
//	      └─► chunk line ─┬─► trailer ────────┘          └─► switched  101, or 2xx to CONNECT: not HTTP any more
//	            ▲         ▼
//	       chunk end ◄─ chunk data
//
// # A connection
//
// A Decoder delivers messages one after the other, pipelined ones too. Whether another one may follow is told by the
// message: Request.KeepAlive and Response.KeepAlive. When the last one has been delivered the Decoder consumes whatever
// comes and delivers nothing (ended), so that a server may linger. After a response that ends HTTP, Response.Switched,
// it consumes nothing any more: the bytes behind it belong to the other protocol and stay where they are.
//
// The responses that a client gets depend on what it has asked for. It tells the decoder with ResponseDecoder.Expect,
// once for each request and in their order. A response that nobody asked for is an error. Interim responses (1xx but
// for 101) are delivered like others, and the same request stays outstanding.
//
// A server that has to decide before the content comes, to answer 100 Continue for example, asks
// RequestDecoder.Pending when Decode has consumed something and wants more. When the decoder refuses what a client sent,
// RequestDecoder.Status is what the server should answer before it closes.
//
// # What is refused
//
// Wherever RFC 9112 leaves a choice between guessing and refusing, this package refuses, because two guesses on one path
// are how requests are smuggled: Content-Length given twice or beside Transfer-Encoding, a Transfer-Encoding other than
// chunked alone, folded lines, LF without CR, CR without LF, control bytes, a number with a sign or a space, no Host or
// two. Nor are such messages encoded.
//
// # Memory
//
// Content that a Content-Length announces stays in the bytes of the caller until all of it is there, and Content is that
// part of them. Chunks and content until close are copied as they come into memory that the Decoder owns and gives away
// with the message; a single chunk that comes in one piece with its end is not copied. No memory is taken because a
// length was announced. What is kept of a peer's bytes for one message, by the caller and the Decoder together, is at
// most MaxSize; beside it there is what net/http makes of the head. Content is not delivered in parts: who wants to pass
// on more than fits into memory needs something else.
package http1
