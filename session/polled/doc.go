// Package polled provides connections that their caller drives. Nothing waits, nothing is called back, and no goroutine is
// needed: a program that already has a loop of its own gives each connection a turn in it.
//
//	Heartbeat, Liveness      send something regularly; fail when nothing arrives
//	        │                each wraps a Session of any kind
//	MessageSession           messages, by a codec of package frame: NewFramed, NewDuplex
//	        │                over any Session of bytes, such as one that encrypts
//	StreamSession            bytes, over a Stream: Connect, or Accept of a Listener
//	        │
//	tandem.Transport
//
// [Session] is the interface of all of them. One turn of a connection is a call of Drive, Read and Write, in any order:
//
//	conn, err := polled.Connect(t, "tcp", address, nil)
//	client := polled.NewFramed(conn, frame.U64{}, 4096)
//	for rest, pending := []byte("hello world!"), true; ; {
//		if _, err := client.Drive(); err != nil {
//			return err
//		}
//		if pending {
//			var status polled.WriteStatus
//			if rest, status, err = client.Write(rest); err != nil {
//				return err
//			}
//			pending = status == polled.Pending
//		}
//		m, status, err := client.Read()
//		if err != nil {
//			return err
//		}
//		if status == polled.Data {
//			fmt.Printf("received: %q\n", m)
//		}
//	}
//
// # When to use it
//
// Use a Session where a loop of the program's own decides when work is done: a game or simulation, a trading gateway, a
// test that steps through a protocol. Where a server only answers what arrives, [session.Frames] needs less code: it calls
// a function for each message. Where goroutines that block are welcome, Stream.Detach and package net fit better.
//
// # Transports
//
// A Transport with Options.CallerDriven has no goroutine. Drive polls it, and its Sessions share that: the first Drive of
// a duty cycle polls for all of them, or none does if the caller calls Transport.Poll itself. All of them belong to the
// goroutine that polls, and are not driven in callbacks.
//
// A Transport with loops receives on its own goroutines. Each Session may then be used on a goroutine of its own, and the
// bytes are handed from one to the other, at most 256 KiB at a time. So that its owner need not poll a Session on which nothing
// happens, nor sleep, Notify sets a function that wakes it: see [Notifier].
//
// Package sessiontest has a Session in memory and the rules that every Session keeps; package httpsession carries HTTP/1
// over Sessions. COMPARED.md, beside this file, maps the API to that of older libraries of this kind.
package polled
