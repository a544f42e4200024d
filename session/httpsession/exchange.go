package httpsession

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/polled"
)

// Exchange is one request and its response, on a connection of a Pool. Its caller drives it until Read returns the
// response, its last part if it comes in parts, and closes it when the response is no longer used; then the connection is
// free for the next Exchange.
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
	began time.Time // when Do was called, if ExchangeTimeout is set
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
	if x.late() {
		return polled.Idle, x.fail(ErrExchangeTimeout)
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
	case x.late():
		return nil, polled.None, x.fail(ErrExchangeTimeout)
	}
	r, status, err := x.conn.Read()
	if err != nil {
		if x.retry() {
			return nil, polled.None, nil
		}
		return nil, polled.None, x.fail(err)
	}
	x.begun = x.begun || status != polled.None
	x.done = status == polled.Data && r.Part.Ends() && !r.Interim()
	return r, status, nil
}

// late reports whether the exchange takes longer than ExchangeTimeout.
func (x *Exchange) late() bool {
	return !x.began.IsZero() && !x.done && x.pool.options.Now().Sub(x.began) >= x.pool.options.Client.ExchangeTimeout
}

// Write writes a part of the request behind the first, with which Do was called: the same request with another Part and
// Content. With Pending it is passed again after Drive; so it is while the exchange has no connection, or the server has not
// answered Expect: 100-continue. Such an exchange is never sent twice.
func (x *Exchange) Write(r *http1.Request) (polled.WriteStatus, error) {
	switch {
	case x.err != nil:
		return polled.Pending, x.err
	case r == nil || r.Part.Begins():
		return polled.Pending, errors.New("httpsession: write: an exchange has one request, and Do has its first part")
	case !x.sent:
		return polled.Pending, nil
	}
	_, status, err := x.conn.Write(r)
	return status, err
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
	if !x.conn.used || x.again || x.begun || x.done || x.request.Part != http1.Whole || !idempotent(x.request.Method) {
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
