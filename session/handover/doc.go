// Package handover gives listeners, connections and state to another process, so that a server is replaced by its
// successor without one connection refused, reset or lost.
//
//	old process                                              new process
//	conn := Start(cmd)  ── socketpair, TANDEM_HANDOVER ──►   conn := Inherited()
//	g := NewGiver(conn)                                      reads its configuration, opens its Transport
//	     ◄───────────────── hello ─────────────────────►     t := NewTaker(conn): it is ready to serve
//	g.Listener(…)       ── LISTENER 1, its sockets ─────►    t.Next holds the duplicates
//	                    ◄─ TAKEN 1 ──────────────────────
//	  closes its own    ── YOURS 1 ─────────────────────►    t.Next returns a *Listener: Listen
//	g.Streams(…)        ── CONN 2, its socket, bytes ───►
//	                    ◄─ TAKEN 2 ──────────────────────
//	  closes its own    ── YOURS 2 ─────────────────────►    t.Next returns a *Conn: Adopt
//	g.Finish            ── END ─────────────────────────►    t.Next returns io.EOF
//	  exits             ◄─ END ──────────────────────────
//
// The two may also meet at a named Unix socket: each brings a *net.UnixConn. Both must run for the same user, or the other
// one for root; who may connect to the socket otherwise is decided by its file's mode and directory, and a process that is
// let in gets every connection. A child that is no program of this library gets listeners by [Activate].
//
// # Who owns which descriptor
//
// A descriptor that is sent is duplicated by the kernel. Each process has its own, and closes it exactly once.
//
//	                        the old process                       the new process
//	until TAKEN arrives     has the item, and goes on with it     holds a duplicate, and does not touch it
//	                        if anything fails
//	from YOURS on           has closed its own                    the item is Next's caller's, who closes it
//	KEPT, or an end of      goes on with it                       has closed its duplicate
//	the conversation
//
// So at no time do both use a connection. An item for which Giver returns an error is the old process's, as if nothing had
// been: a listener listens, and a connection is still the caller's. If the new process dies, all for which it had not sent
// TAKEN stays; what it had taken is gone with it, unless YOURS could not be written any more. If the old one dies, the new
// one has what YOURS was said for. Each wait ends with its context. In the middle of a message that ends the conversation.
//
// Connections wait in the kernel meanwhile, at the listening sockets, which never close: nobody is refused. What an io_uring
// accept had taken out of there when the old listener closed becomes a stream of the old process, see
// [session.Listener].File. So give the listeners first, and the connections after that.
//
// # What is carried
//
// Of a listener: its name, network, all its sockets with what waits there, and who removes the file of a Unix socket.
// Of a connection: its socket, bytes that were received and not read, bytes that were written and not sent, whether
// CloseWrite was called, and any bytes of the program's that describe how far it is. Socket options are the socket's, and
// stay, but for SO_LINGER.
//
// Not carried are: connections with TLS, whose keys stay in the old process; streams of a Relay, which are two; timers, idle
// timeouts and limits, which the new process sets anew; the Handler and its Value, which have to be made again from the
// state; functions of WriteNotify whose bytes were not sent, which get an error that is net.ErrClosed; functions given
// to Post; connections in a handshake, or that have no OnOpen yet; and files that a peer has passed and nobody has
// taken, with their connection. They end with the old process: a Shutdown gives them time.
//
// # The bytes
//
// All numbers are big endian. A message is a header of 16 bytes and a payload. Descriptors come with the first byte of the
// header, as SCM_RIGHTS, unix(7).
//
//	0       kind: 1 HELLO, 2 LISTENER, 3 CONN, 4 STATE, 5 TAKEN, 6 REFUSED, 7 YOURS, 8 KEPT, 9 END
//	1       flags: of LISTENER 1 the receiver removes the file of the Unix socket; of CONN 1 CloseWrite was called,
//	        2 its FIN is sent
//	2       descriptors: of LISTENER 1 to 253, of CONN 1, else 0
//	3       0
//	4 – 7   length of the payload
//	8 – 15  number of the item, from 1 on in the order of sending; 0 for HELLO and END
//
// A field is a length of 4 bytes and as many bytes. The payloads are
//
//	HELLO     "tandemHO", lowest and highest version that is spoken (2 bytes each), and of the new process how many items
//	          (4 bytes) and how many bytes of payload (4 bytes) may be on their way; what follows is for later versions
//	LISTENER  the fields name and network
//	CONN      the fields name, state, unread and unsent
//	STATE     the fields name and data
//	REFUSED   errno (4 bytes) and a text of at most 1 KiB
//	others    empty
//
// The version is 1. Both say HELLO at once, and go on with the highest version that both speak. What is malformed, out of
// order or beyond the bounds ends the conversation with an error that is [ErrProtocol].
//
// Only Linux is supported. Elsewhere all of this returns errors.ErrUnsupported.
package handover
