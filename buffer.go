package tandem

// NewBuffer returns a Buffer with a copy of p, in memory of the Transport: for one message that is written to many streams,
// by [session.Buffer.Share]. Any goroutine; it does not block.
func NewBuffer(t Transport, p []byte) *Buffer { return t.(*transport).NewBuffer(p) }
