package wssession

import (
	"maps"
	"net/http"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/httpsession"
)

// Serve returns an http.Handler that upgrades each request, for a path of a mux that httpsession.Handler serves. Requests that
// cannot be upgraded are refused, with 400, 403, 405 or 426. Serve panics if h is nil. o may be nil.
func Serve(h Handler, o *ServerOptions) http.Handler {
	if h == nil {
		panic("wssession: the Handler is nil")
	}
	server, options := o.server(), o.common()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = upgrade(w, r, h, server, options) // the client has been told
	})
}

// Upgrade answers one request, in an http.Handler that httpsession.Handler serves: with 101, and then the connection is the
// Conn's, which has had its OnOpen when Upgrade returns; or with a refusal, and then err says why. Requests that the client
// has sent before have their responses, and bytes behind the request are frames. w must not be used afterwards. What holds
// for httpsession.HandOver holds for Upgrade. It panics if h is nil. o may be nil.
func Upgrade(w http.ResponseWriter, r *http.Request, h Handler, o *ServerOptions) (*Conn, error) {
	return upgrade(w, r, h, o.server(), o.common())
}

func upgrade(w http.ResponseWriter, r *http.Request, h Handler, server *websocket.Server, o *Options) (*Conn, error) {
	c := newConn(h, o, false)
	answer, agreed, err := server.Answer(r)
	if err != nil {
		refuse(w, answer)
		return nil, err
	}
	w.Header().Del("Sec-WebSocket-Protocol") // what others have set was not agreed upon
	w.Header().Del("Sec-WebSocket-Extensions")
	maps.Copy(w.Header(), answer.Header)
	c.prepare(agreed)
	s, err := httpsession.HandOver(w, http.StatusSwitchingProtocols, c.frames)
	if err != nil {
		clear(w.Header())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return nil, err
	}
	c.begin(s)
	return c, nil
}

// refuse writes a refusal.
func refuse(w http.ResponseWriter, answer *http1.Response) {
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(answer.Content)
}
