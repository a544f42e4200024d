package polled

import "github.com/tandem-io/tandem/session"

// Transport is the part of a tandem.Transport that Connect and Listen use.
type Transport interface {
	Connect(network, address string, h session.Handler, o *session.DialOptions) (*session.Stream, error)
	Listen(network, address string, h session.Handler, o *session.ListenOptions) (session.Listener, error)
}

// Connect begins to connect and returns a Session that is Establishing. AllowHalfClose is always set: the Session goes on
// when the peer has finished sending. o may be nil.
func Connect(t Transport, network, address string, o *session.DialOptions) (*StreamSession, error) {
	var mine session.DialOptions
	if o != nil {
		mine = *o
	}
	mine.AllowHalfClose = true
	b := &StreamSession{handler: streamHandler{room: mostUnread}}
	s, err := t.Connect(network, address, &b.handler, &mine)
	if err != nil {
		return nil, err
	}
	b.bind(s)
	return b, nil
}
