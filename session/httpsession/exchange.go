package httpsession

import (
	"errors"
	"net"
	"net/http"
	"slices"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/polled"
)

// Exchange is one request and its response, on a connection of a Pool. Its caller drives it until Read returns the
// response, and closes it when the response is no longer used; then the connection is free for the next Exchange.
//
// A request on a connection that the server was just closing is sent once more, on a new connection, if nothing of a
// response was received and the method is idempotent. RFC 9112, section 9.3.1.
type Exchange struct {
	pool            *Pool
	request         *http1.Request
	scheme, address string

	conn  *pooled // nil while the exchange waits for a connection
	sent  bool
	begun bool   // whether something of a response was received
	again bool   // whether this is the second try
	done  bool   // whether the response was read
	asked uint64 // pool.asks when the exchange asked for a connection last; 0: never
	err   error
}

func (x *Exchange) key() string { return x.scheme + "://" + x.address }

// Status is Establishing until the request is on its way, and Terminated at the end.
func (x *Exchange) Status() polled.Status {
	switch {
	case x.err != nil:
		return polled.Terminated
	case x.sent:
		return polled.Established
	}
	return polled.Establishing
}

// Drive does the pending work, without waiting: it acquires a connection, sends the request, and receives. After an error
// the exchange has ended.
func (x *Exchange) Drive() (polled.Activity, error) {
	if x.err != nil {
		return polled.Idle, x.err
	}
	if x.conn == nil {
		conn, err := x.pool.acquire(x)
		if err != nil {
			return polled.Idle, x.fail(err)
		}
		if x.conn = conn; conn == nil {
			return polled.Idle, nil // all connections are in use
		}
	}
	activity, err := x.conn.Drive()
	if err == nil && !x.sent {
		var status polled.WriteStatus
		if _, status, err = x.conn.Write(x.request); err == nil && status == polled.Success {
			x.sent, activity = true, polled.Active
			err = x.conn.Flush()
		}
	}
	if err != nil && !x.retry() {
		return polled.Idle, x.fail(err)
	}
	return activity, nil
}

// Read returns the response when it has been received. The response is valid until Close. Further calls return None.
func (x *Exchange) Read() (*http1.Response, polled.ReadStatus, error) {
	switch {
	case x.err != nil:
		return nil, polled.None, x.err
	case x.done || !x.sent:
		return nil, polled.None, nil
	}
	r, status, err := x.conn.Read()
	if err != nil {
		if x.retry() {
			return nil, polled.None, nil
		}
		return nil, polled.None, x.fail(err)
	}
	x.begun = x.begun || status != polled.None
	x.done = status == polled.Data
	return r, status, nil
}

// Close ends the exchange. Its connection returns to the pool if the response was read and the connection persists, and is
// closed otherwise. Calls after the first do nothing.
func (x *Exchange) Close() error {
	if x.err == nil {
		_ = x.fail(net.ErrClosed)
	}
	return nil
}

// Detach returns the exchange's connection as a net.Conn, as Client.Detach does, once Read has returned the response. The
// connection leaves the pool, and the exchange ends.
func (x *Exchange) Detach() (net.Conn, error) {
	switch {
	case x.err != nil:
		return nil, x.err
	case !x.done:
		return nil, errors.New("httpsession: detach: the response has not been read")
	}
	c, err := x.conn.Detach()
	if err != nil {
		return nil, err
	}
	x.pool.gone(x.conn)
	x.conn, x.err = nil, net.ErrClosed
	return c, nil
}

// HandOver returns the Session below the exchange's connection, as Client.HandOver does. The connection leaves the pool, and
// the exchange ends.
func (x *Exchange) HandOver() (polled.Bytes, error) {
	switch {
	case x.err != nil:
		return nil, x.err
	case !x.done:
		return nil, errNotSwitched
	}
	b, err := x.conn.HandOver()
	if err != nil {
		return nil, err
	}
	x.pool.gone(x.conn)
	x.conn, x.err = nil, net.ErrClosed
	return b, nil
}

// fail ends the exchange with err, and returns err.
func (x *Exchange) fail(err error) error {
	x.err = err
	switch {
	case x.conn == nil:
		x.leave()
	case x.done:
		x.pool.release(x.conn)
	default:
		x.pool.discard(x.conn)
	}
	x.conn = nil
	return err
}

// leave stops waiting for a connection.
func (x *Exchange) leave() {
	h := x.pool.host(x.key())
	if i := slices.Index(h.waiting, x); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	x.pool.tidy(x.key())
}

// retry starts again on a new connection, and reports whether it could.
func (x *Exchange) retry() bool {
	if !x.conn.used || x.again || x.begun || x.done || !idempotent(x.request.Method) {
		return false
	}
	x.pool.discard(x.conn)
	x.conn, x.sent, x.again = nil, false, true
	h := x.pool.host(x.key())
	h.waiting = slices.Insert(h.waiting, 0, x)
	return true
}

// idempotent reports whether a request may be sent twice. RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
