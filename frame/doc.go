// Package frame turns bytes into messages and back: pure codecs, without I/O, locks or goroutines.
//
//	bytes of a peer ──► Decoder.Decode(p) ──► message, or number of missing bytes, or *Error
//	message         ──► Codec.Append(dst, m) ──► dst, extended by the encoded message
//
// A [Codec] is a format with its limits: an immutable value that any number of connections and goroutines share. A [Decoder]
// belongs to one direction of one connection. It has the state that it needs in order to look at each byte once.
//
//	U64             u64 little-endian length, payload
//	Simple          0x01, u16 big-endian length, payload, 0x17
//	Checksum32      u32 big-endian length, payload, u32 sum of its bytes
//	Varint          length as Protocol Buffers write it, payload
//	Netstring       decimal length, colon, payload, comma
//	NewLengthField  a length field of any width and place in a header
//	NewVarintField  a header, length in base 128, payload: MQTT
//	NewTextHeader   a header of text that tells the size of a body: NATS, STOMP, memcached
//	LSP             Content-Length, an empty line, content: language servers, debug adapters
//	PktLine         hexadecimal length, data: git
//	NewDelimiter    a message, one of some delimiters
//	Line            a line of text, \n or \r\n
//	COBS            a message without zeros by byte stuffing, a zero
//	NewFixed        messages of one size
//
// Packages http1 and websocket have codecs of these protocols. To write a codec of your own, read the documentation of
// Decoder; package frametest tests it.
//
// A message above a limit ends a connection. Where the format tells its size, the option SkipTooLarge has the Decoder drop
// it instead, and go on behind it: see Error.Skipped.
//
// Whatever bytes a peer sends, a Decoder does not panic. A length that a peer claims causes no allocation: the caller keeps
// bytes as they are received, at most MaxSize of them for one message.
package frame
