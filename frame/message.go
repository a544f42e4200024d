package frame

// Message is a message of two parts, for formats with a header that the user reads. One from a Decoder refers to the bytes
// it was decoded from.
type Message struct {
	Header []byte
	Body   []byte
}
