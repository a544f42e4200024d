package tandem

import (
	"context"
	"net"
)

// ListenConn is Transport.Listen for code that takes a net.Listener, such as net/http, gRPC and crypto/tls. The
// Transport's loops accept; what Accept returns is a net.Conn whose Read and Write wait for the kernel in Go's own poller,
// as those of package net do, at a lower cost. No loop carries its bytes: a loop that is slow or blocked delays no
// connection, and io_uring has no part in it.
//
// What Accept returns belongs to the caller, who closes it; the Transport keeps it until then. ListenOptions hold, as far
// as they concern sockets and MaxConns; StreamOptions mean nothing, and TLS is an error: wrap what is returned by
// tls.NewListener, or tls.Client. Up to 64 connections wait for Accept, and count towards MaxConns; Stats.Conns has the
// figures of those that Accept has returned.
//
// Shutdown ends the connections that wait for their peer, in Read or in a transfer, unless they are also sending; each of
// the others when it begins to wait, and what is left when the context ends, by a reset. A server that reads while it is
// at work, as that of net/http does to notice a peer that leaves, knows better which of its connections are idle: call
// its own Shutdown first.
//
// Connections have CloseRead, CloseWrite, SyscallConn, File, ReadFrom and WriteTo, by sendfile(2) and splice(2) where that
// is possible. Errors are those of package net. Any goroutine may use a connection.
//
// The listener is a [Listener], too, with a SetDeadline for Accept; its second Close returns nil. While the loops are held
// up by callbacks nothing is accepted. A Transport that is CallerDriven accepts in Poll only.
func ListenConn(t Transport, network, address string, o *ListenOptions) (net.Listener, error) {
	return t.(*transport).ListenConn(network, address, o)
}

// DialConn is Transport.Dial for code that takes a net.Conn, which is like those of ListenConn. It blocks as Dial does, and
// like that returns an error in callbacks and for a Transport that is CallerDriven. It has the signature of a net.Dialer's
// DialContext, with a Transport and options.
func DialConn(ctx context.Context, t Transport, network, address string, o *DialOptions) (net.Conn, error) {
	return t.(*transport).DialConn(ctx, network, address, o)
}
