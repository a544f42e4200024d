// Package http1 has codecs of HTTP/1.0 and HTTP/1.1 messages, whole ones and such that come in parts, as defined by RFC
// 9112.
//
//	request-line or status-line CRLF     ─┐
//	*( field-name ":" OWS value OWS CRLF )│ head:    Limits.HeadBytes, Limits.HeadLines
//	CRLF                                 ─┘
//	content, in one of these forms:                  Limits.BodyBytes; in parts Limits.PartsBytes
//	  nothing
//	  Content-Length bytes
//	  until the peer closes                          responses only
//	  chunks:
//	    *( size [extensions] CRLF data CRLF )        Limits.ChunkLineBytes
//	    0 [extensions] CRLF
//	    *( field-name ":" OWS value OWS CRLF )       trailer: Limits.TrailerBytes, Limits.HeadLines
//	    CRLF
//
// This package decides whether a head is valid, where it ends, and how long the content is, and where the parts of a
// request's head are. [Requests] and [Responses] make of them what http.ReadRequest and http.ReadResponse do, or have those
// parse exactly the bytes of a valid head where that is not plain. [RawRequests] leaves the parts where they are, and
// [RawResponse] puts a response together as it is sent: both accept the same, and neither allocates.
//
//	head ─┬───────────────────────────────────┬─► whole ─┬─► head      the next message
//	      ├─► length ─────────────────────────┤          ├─► ended     Close: further bytes are dropped
//	      ├─► until close ─ the peer finishes ┤          ├─► held      CONNECT: until Resume or Switch
//	      └─► chunk line ─┬─► trailer ────────┘          └─► switched  101, or 2xx to CONNECT: not HTTP any more
//	            ▲         ▼
//	       chunk end ◄─ chunk data
//
// # A connection
//
// A Decoder returns one message after the other, pipelined ones too. [Request.KeepAlive] and [Response.KeepAlive] report
// whether another one may follow. After the last message the Decoder consumes all further bytes and returns no message
// (ended), so that a server can linger. After a response that ends HTTP, see [Response.Switched], it consumes nothing: the
// following bytes belong to the other protocol.
//
// How a response is parsed depends on its request. A client calls [ResponseDecoder.Expect] for each request, in order. A
// response without a request is an error. Interim responses (1xx except 101) are messages too, and leave the request
// outstanding.
//
// A server that has to decide before the content arrives, for example to answer 100 Continue, calls
// [RequestDecoder.Pending] when Decode was incomplete. When the decoder has refused a request, [RequestDecoder.Status] is
// the status with which the server should answer before it closes.
//
// # What is refused
//
// Wherever RFC 9112 permits to guess or to refuse, this package refuses, because requests are smuggled where two parties
// guess differently: Content-Length given twice or beside Transfer-Encoding, a Transfer-Encoding other than chunked alone,
// folded lines, LF without CR, CR without LF, control bytes, a number with a sign or a space, no Host or two. Such messages
// are not encoded either.
//
// # Memory
//
// Content with a Content-Length stays in the caller's bytes until all of it has been received, and Content refers to them.
// Chunks, and content up to the end of the stream, are copied as they arrive into memory that then belongs to the message;
// a single chunk that arrives together with its end is not copied. No memory is allocated because of an announced length.
// Caller and Decoder together keep at most MaxSize bytes of the peer for one message, in addition to what net/http
// allocates for the head.
//
// # Parts
//
// Content that does not fit into memory is delivered in parts, if [Requests.Parts] or [Responses.Parts] asks for that when
// the head has come: first the head, then each piece where it lies in the caller's bytes, then the end with the trailer.
// [Part] says which is which. What is refused is the same, as soon as it comes. Append writes messages in parts, too.
package http1
