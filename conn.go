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
// The listener is a Listener of tandem too. The Transport owns the connections: ListenOptions hold for them, as far as
// they concern sockets and MaxConns; Stats counts them; Shutdown ends those that wait for their peer, and the others when
// its context ends. Connections have CloseRead, CloseWrite, SyscallConn, File, ReadFrom and WriteTo, by sendfile(2) and
// splice(2) where that is possible, and errors as those of package net. A Transport that is CallerDriven accepts in Poll
// only.
func ListenConn(t Transport, network, address string, o *ListenOptions) (net.Listener, error) {
	return t.(*transport).ListenConn(network, address, o)
}

// DialConn is Transport.Dial for code that takes a net.Conn, which is like those of ListenConn. It has the signature of a
// net.Dialer's DialContext, with a Transport and options.
func DialConn(ctx context.Context, t Transport, network, address string, o *DialOptions) (net.Conn, error) {
	return t.(*transport).DialConn(ctx, network, address, o)
}
