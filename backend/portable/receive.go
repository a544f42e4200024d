package portable

// receive is the goroutine of a stream.
func (a *attached) receive() {
	defer a.over()
	for a.next() {
		a.got = event{}
		var err error
		if a.d.plain {
			err = a.read()
		} else {
			err = a.f.raw.Read(a.call)
		}
		switch {
		case a.returned(err):
		case err != nil && a.got.kind == ended:
			a.tell(event{kind: received, err: bare(err)})
		case a.got.kind != ended:
			a.tell(a.got)
		}
	}
}

// try is for RawConn.Read, which waits for the socket and calls it again if it returns false. It takes a buffer only when
// there is something to receive.
func (a *attached) try(fd uintptr) bool {
	a.mu.Lock()
	wants, hung, over := a.wants && !a.ended, a.hung, a.releasing
	a.watches = !wants
	a.mu.Unlock()
	switch {
	case over:
		return true
	case !wants && hasFailed(fd):
		a.got = event{kind: hungUp, fails: true}
		return true
	case !wants && !hung && hasEnded(fd):
		a.got = event{kind: hungUp}
		return true
	case !wants:
		return false
	}
	buf := a.d.pool.Get(pieceSize)
	n, err := receiveOnce(fd, buf)
	if n == 0 {
		a.d.pool.Put(buf)
		buf = nil
	}
	if err == errAgain {
		return false
	}
	a.got = event{kind: received, buf: buf, n: n, err: err}
	return true
}

// read is a receive of package net.
func (a *attached) read() error {
	buf := a.d.pool.Get(pieceSize)
	n, err := a.f.conn.Read(buf)
	if n == 0 {
		a.d.pool.Put(buf)
		return err
	}
	a.got = event{kind: received, buf: buf, n: n}
	return nil
}
