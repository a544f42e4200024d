package httpsession

import (
	"net/http"

	"github.com/tandem-io/tandem/frame/http1"
)

// spare is memory of an answer that no http.Handler ever sees: it is used again when the answer was sent whole.
type spare struct {
	sent     http.Header
	content  []byte
	response http1.Response
	head     http.Response
}

// mostSpare is how much content a spare keeps memory for, in bytes, and mostSpareFields how many fields.
const (
	mostSpare       = 64 << 10
	mostSpareFields = 32
)

// giveBack takes its memory from an answer that was sent. A handler that goes on has no use of it any longer: it gets errors.
func (a *answer) giveBack() *spare {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.spare
	m.content = a.content[:0]
	a.spare, a.sent, a.content = nil, nil, nil
	if cap(m.content) > mostSpare || len(m.sent) > mostSpareFields {
		return nil
	}
	clear(m.sent)
	m.response, m.head = http1.Response{}, http.Response{}
	return m
}
