// Package session holds the one state machine of a connection, the Stream; what makes streams: listeners and dials; and
// what is above a Stream: messages, and sessions that their caller drives. It knows no kernel; a backend.Driver moves
// its bytes.
//
//	called: one callback for each message          polled: the caller's own duty cycle
//
//	  func(s *Stream, m M)    WriteFrame              Heartbeat, Liveness ─ wrap a Session of any kind
//	          ▲                  │                    Framed: messages ◄─ frame.Codec ─► write buffer
//	        Frames               │                       │   a Session of Bytes: what encrypts fits in here
//	          ▲                  ▼                    Streaming: bytes; Acceptor: sessions of a listener
//	          └───── Stream ◄────┘                       │
//	                                                   Stream
//
// And a Stream itself:
//
//	driver ── Received ─► in: lent bytes, or what was left unread ─► OnData ─► Peek Next Read
//	                                                                   │
//	driver ◄── Send ───── out: queue of segments ◄───────────────── Write, from any goroutine
//
// A stream's life is one walk through its phases:
//
//	dialing ──► open ──► closing ──► ending ──► releasing ──► closed
//	   │          │     (queue goes  (driver     (kernel lets    (descriptor closed,
//	   │          │      out)         is told)    go of it)       OnClose ran)
//	   │          ├────► detaching ──────────────────▲
//	   └──────────┴────────────────────▲ Abort, failure
//
// What a connection that failed still has in the kernel is delivered between releasing and closed, turn by turn.
//
// Callbacks run on the loop's goroutine, from the top of the loop only: an event of the driver, a task, a timer, or the
// end of a turn. A method that a callback calls marks the stream for the end of the turn and never calls back itself.
//
// # Called
//
// A server that is called once for each message. [Frames] decodes in place and keeps the rules of a Stream: pause,
// budget, bounds. hydrogen, an older library for Rust, spreads the same over a stream type that collects messages, a
// handler, and a thread that sleeps between both:
//
//	hydrogen                                        tandem
//	impl Stream for S { fn recv, send, shutdown }   frame.Simple{}, or a frame.Codec of one's own
//	fn on_data_received(&mut self, socket, buffer)  func(s *session.Stream, m []byte)
//	socket.send(&buffer)                            session.WriteFrame(s, codec, m)
//	fn on_connection_removed(&mut self, fd, err)    h.Close = func(s *session.Stream, err error)
//	hydrogen::begin(Server, config)                 t.Listen(network, address, h, nil)
//
//	h := session.Frames(frame.Simple{}, func(s *session.Stream, m []byte) {
//		if err := session.WriteFrame(s, frame.Simple{}, m); err != nil {
//			_ = s.Abort()
//		}
//	})
//	l, err := t.Listen("tcp", "127.0.0.1:1337", h, nil)
//
// # Polled
//
// A client that lives in its program's own loop. A [Session] never waits and never calls back; errors are failures and
// nothing else. nbio, another older library for Rust, does so too:
//
//	nbio                                            tandem
//	StreamingTcpSession::connect(addr)              session.Connect(t, "tcp", addr, nil), Establishing at first
//	FramingSession::new(s, U64FramingStrategy, n)   session.NewFramed(s, frame.U64{}, n)
//	client.drive()? -> true                         client.Drive() -> Active
//	client.read()? -> Data(m), Buffered, None       client.Read() -> m, Data; Buffered; None; io.EOF at the end
//	client.write(m)? -> Success, Pending(rest)      client.Write(m) -> Success; rest, Pending
//	HeartbeatingSession, LivenessSession            session.NewHeartbeat, session.NewLiveness
//
//	conn, err := session.Connect(t, "tcp", address, nil)
//	client := session.NewFramed(conn, frame.U64{}, 4096)
//	for rest, pending := []byte("hello world!"), true; ; {
//		if _, err := client.Drive(); err != nil {
//			return err
//		}
//		if pending {
//			var status session.WriteStatus
//			if rest, status, err = client.Write(rest); err != nil {
//				return err
//			}
//			pending = status == session.Pending
//		}
//		m, status, err := client.Read()
//		if err != nil {
//			return err
//		}
//		if status == session.Data {
//			fmt.Printf("received: %q\n", m)
//		}
//	}
//
// The sessions of one Transport that is CallerDriven share its one goroutine: Drive polls it, once for all of them in a
// duty cycle. Over a Transport with loops, a session has a goroutine of its caller's, and bytes are handed across.
package session
