// Package httpsession carries HTTP/1 over sessions and streams, for services that have a loop already and want to ask
// something of an HTTP server, or to answer a health check and show their figures.
//
//	http1.Requests, http1.Responses      bytes to messages and back, frame/http1
//	        │
//	polled.MessageSession ── over any session of bytes: Connect, Accept, the in-memory pair, later TLS
//	        │
//	Client      requests out, responses in; one connection
//	Pool        clients that are kept for reuse, with limits; Exchange: one request and its response
//	Server      requests in, responses out; one connection
//	Handler     an http.Handler on a stream, called on its loop: no session, no duty cycle
//
// All but Handler are polled: they never wait, belong to one goroutine at a time, and nothing moves without Drive.
//
// nbio, an older library for Rust, has the client too:
//
//	nbio                                            tandem
//	HttpClient::new()                               httpsession.NewPool(t, nil)
//	client.request(request)? -> session             pool.Do(request) -> exchange
//	session.drive()?                                exchange.Drive()
//	session.read()? -> Data(response)               exchange.Read() -> response, Data
//	dropping the session                            exchange.Close(): the connection is free for the next
//
// # What is not here
//
// Content is whole: a message is delivered when all of it is there, within http1.Limits. What streams without end, or is
// larger than memory, belongs to net/http. There are no redirects, no cookies and no proxies.
package httpsession
