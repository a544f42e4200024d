// Package wssession has WebSocket connections over streams, RFC 6455 and RFC 7692: called on a stream's loop, or polled.
//
//	httpsession.Handler ── a request to a path ──► Upgrade, Serve ──┐           ┌── Accept ◄── httpsession.Server
//	                                                                ▼           ▼
//	                            websocket.Codec              Conn (called)   Session (polled)
//	                            of frame/websocket                  ▲           ▲
//	Transport.Connect ── handshake ───────────────► Connect, Dial ──┘           └── ConnectSession ◄── polled.Connect
//
//	bytes ──► frames ──► messages ──► Handler.OnMessage, or Session.Read
//	             │
//	             ├── Ping  ──► Pong, at once
//	             ├── Close ──► Close with the same code; the server ends the connection first
//	             └── wrong ──► Close with 1002, 1007 or 1009, and the end
//
// A server:
//
//	mux := http.NewServeMux()
//	mux.Handle("/chat", wssession.Serve(handler, nil))
//	l, err := t.Listen("tcp", ":8080", httpsession.Handler(mux, nil), nil)
//
// # Who owns what
//
// Until Upgrade has sent the response, the stream is HTTP's; from OnOpen to OnClose it is the Conn's, and its handler must
// not be replaced. Conn.Stream is there for addresses, options, timers, PauseRead and Abort; what is written to it directly
// breaks the protocol. Data of a message is lent, until OnMessage returns or until the next Read. Writes keep nothing.
//
// # Bounds
//
// MaxMessage bounds a message as it arrives and as it is inflated; a header that announces more is refused before its
// payload arrives. Of the answers to pings at most 4 KiB wait for a peer that does not read, and beyond that only the
// last one. What is written is bounded by WriteBufferLimit of the stream. A message is put together of MaxFragments at most,
// because empty ones would cost a peer next to nothing. A compressed message is inflated on the loop, 128 KiB in a turn, so
// that other streams do not wait for a message that grows a thousandfold. Meanwhile nothing else of its connection is
// delivered. In the whole process eight messages at a time are inflated beyond the first 128 KiB; others wait, as they were
// sent. Fragments and messages as they were sent count towards no limit but MaxMessage: MemoryLimit of the Transport does not
// know them. So a program with many connections that are not trusted should lower MaxMessage, and set SetReadIdleTimeout.
//
// # Liveness
//
// A peer that has gone without a word is found by silence. On the Conn's loop, such as in OnOpen:
//
//	c.Stream().SetReadIdleTimeout(30 * time.Second)
//	c.Stream().Every(10*time.Second, func() { _ = c.Ping(nil) })
//
// The answers are bytes that arrive. When there are none the stream ends, and OnClose gets os.ErrDeadlineExceeded.
package wssession
