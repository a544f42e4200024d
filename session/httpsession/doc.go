// Package httpsession carries HTTP/1 over polled sessions and over streams. It is for services that already have a loop,
// and want to send requests to an HTTP server, answer a health check or publish metrics.
//
//	http1.Requests, http1.Responses      bytes to messages and back: package frame/http1
//	        │
//	polled.MessageSession                over any session of bytes: polled.Connect, Accept, or one that encrypts
//	        │
//	Client      requests out, responses in; one connection
//	Pool        clients that are kept for reuse, with limits; Exchange: one request and its response
//	Server      requests in, responses out; one connection
//	Handler     an http.Handler on a stream, called on its loop: no session, no duty cycle
//	RawHandler  the same without the types of net/http, which cost more than everything else: nothing is allocated
//	ClientConn  requests out, responses in; one stream, whose loop calls the program
//
// All but Handler, RawHandler and ClientConn are polled: they never wait, belong to one goroutine at a time, and nothing moves without
// Drive.
//
//	pool := httpsession.NewPool(t, nil)
//	exchange, err := pool.Do(request)
//	for {
//		if _, err := exchange.Drive(); err != nil {
//			return err
//		}
//		response, status, err := exchange.Read()
//		if err != nil {
//			return err
//		}
//		if status == polled.Data {
//			fmt.Println(response.Status)
//			break
//		}
//	}
//	exchange.Close() // the connection is free for the next exchange
//
// # TLS
//
// ClientOptions.TLS is for https, also of a Pool. A Handler or RawHandler serves https if it is given to a listener with
// session.ListenOptions.TLS, and a Server on a session of such a listener. The NextProtos of that Config should be none, or
// http/1.1 alone: this package does not speak HTTP/2. Requests and responses have their TLS set, as with net/http.
//
// # Limits
//
// Messages are delivered when all of their content has arrived, within http1.Limits, unless parts are asked for. Redirects,
// cookies and proxies are not supported.
//
// # Content in parts
//
// Content that is endless, or larger than memory, comes and goes in parts. What a slow peer does not take, or a busy program does
// not read, holds the other side up, and memory stays bounded:
//
//	                         content of the request                       response
//	Handler                  ServerOptions.Parts, AsyncEvents.Data        Flush; StartAsync, Async, AsyncEvents.Writable
//	Handler of a Blocking    Body.Read, on a goroutine of its own         Write and Flush, as with net/http
//	Server                   ServerOptions.Parts, Read; http1.Part        Write; http1.Part
//	Client, Exchange         Write; http1.Part                            ClientOptions.Parts, Read; http1.Part
//	ClientConn               Do, Write; http1.Part                        ClientOptions.Parts; http1.Part
//
// Trailers and interim responses such as 100 Continue and 103 Early Hints go with them, both ways.
package httpsession
