package portable

// accept is the goroutine of a listener.
func (a *attached) accept() {
	defer func() {
		a.d.post(event{a: a, kind: ended, last: true})
		a.d.running.Done()
	}()
	for first := true; a.next(); first = false {
		if first && a.d.native {
			_ = a.f.control(func(fd uintptr) { a.kept = current(fd) })
		}
		c, err := a.f.ln.Accept()
		if a.returned(err) {
			continue
		}
		if err != nil {
			a.tell(event{kind: accepted, err: bare(err)})
			continue
		}
		f, err := newConn(c)
		if err != nil { // it is none any longer
			_ = c.Close()
			continue
		}
		a.inherit(f)
		a.tell(event{kind: accepted, conn: f})
	}
}

// inherit gives a connection the options that it has from its listener.
func (a *attached) inherit(f *file) {
	if a.d.native {
		restore(f.control, a.kept)
		return
	}
	_ = f.remember(a.f.remembered())
}
