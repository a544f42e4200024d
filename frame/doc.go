// Package frame turns bytes into messages and back: pure codecs, without I/O, locks or goroutines.
//
//	bytes of a peer ──► Decoder.Decode(p) ──► message, or how many bytes are missing, or an *Error
//	message         ──► Codec.Append(dst, m) ──► dst with the frame behind it
//
// A Codec is a format with its limits: a value that never changes, which any number of connections and goroutines
// share. A Decoder is one direction of one connection, with the state that saves it from looking at a byte twice.
//
//	U64             u64 little-endian length, payload
//	Simple          0x01, u16 big-endian length, payload, 0x17
//	Checksum32      u32 big-endian length, payload, u32 sum of its bytes
//	Varint          length as Protocol Buffers write it, payload
//	NewLengthField  a length field of any width and place in a header
//	NewDelimiter    a message, one of some delimiters
//	Line            a line of text, \n or \r\n
//	NewFixed        messages of one size
//
// Whatever bytes a peer sends, a Decoder does not panic, and a length that a peer claims makes nobody allocate: the
// caller gathers bytes as they come, and never more than MaxSize of them for one message.
package frame
