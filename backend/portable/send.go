package portable

import "time"

// send begins a send that waits. The loop's.
func (a *attached) send(bufs [][]byte) {
	if a.sendCall == nil {
		a.sendCall = a.trySend
	}
	a.vec = append(a.vec[:0], bufs...)
	a.sentBytes, a.sentErr = 0, nil
	a.mu.Lock()
	a.sends = true
	a.mu.Unlock()
	a.f.own.hold() // now, so that nobody else ends the deadline that interrupts it
	a.d.running.Add(1)
	go a.sendAndTell()
}

// sendAndTell is the goroutine of a send that waits.
func (a *attached) sendAndTell() {
	var err error
	if a.d.plain {
		err = a.write()
	} else {
		err = a.f.raw.Write(a.sendCall)
	}
	clear(a.vec)
	if a.sentErr == nil && err != nil && !interrupted(err) {
		a.sentErr = bare(err)
	}
	e := event{a: a, kind: sent, last: true, n: a.sentBytes, err: a.sentErr}
	a.mu.Lock()
	a.sends = false
	if a.sendKicked || interrupted(err) {
		a.sendKicked = false
		_ = a.f.conn.SetWriteDeadline(time.Time{})
	}
	a.mu.Unlock()
	a.f.own.letGo(a.f.conn)
	a.d.post(e)
	a.d.running.Done()
}

// trySend is for RawConn.Write, which waits for room and calls it again if it returns false.
func (a *attached) trySend(fd uintptr) bool {
	n, err := sendOnce(fd, a.vec)
	if err == errAgain {
		return false
	}
	a.sentBytes, a.sentErr = n, err
	return true
}

// write is a send of package net, of a piece, so that the peer's progress shows.
func (a *attached) write() (err error) {
	p := a.vec[0]
	if len(a.vec) > 1 && len(p) < pieceSize {
		buf := a.d.pool.Get(pieceSize)
		defer a.d.pool.Put(buf)
		n := 0
		for _, b := range a.vec {
			n += copy(buf[n:], b)
		}
		p = buf[:n]
	}
	a.sentBytes, err = a.f.conn.Write(p[:min(len(p), pieceSize)])
	return err
}
