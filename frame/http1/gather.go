package http1

// gather puts the content of one message together.
type gather struct {
	kept []byte // owned
	lent []byte // the only part so far, if nothing is kept: a part of the caller's bytes
}

func (g *gather) len() int { return len(g.kept) + len(g.lent) }

// add adds part, which is the caller's. All of the content has at most limit bytes.
func (g *gather) add(part []byte, limit int) {
	switch {
	case len(part) == 0:
	case g.len() == 0:
		g.lent = part
	default:
		g.settle(limit)
		g.keep(part, limit)
	}
}

// settle copies what is lent, before the caller's bytes go.
func (g *gather) settle(limit int) {
	if lent := g.lent; lent != nil {
		g.lent = nil
		g.keep(lent, limit)
	}
}

// keep copies part. Memory at most doubles, and never exceeds limit.
func (g *gather) keep(part []byte, limit int) {
	if size := len(g.kept) + len(part); size > cap(g.kept) {
		grown := make([]byte, len(g.kept), min(limit, max(size, 2*cap(g.kept))))
		copy(grown, g.kept)
		g.kept = grown
	}
	g.kept = append(g.kept, part...)
}

// take returns the content and forgets it. Nothing is behind it: who appends to it gets other memory.
func (g *gather) take() []byte {
	content := g.kept
	if g.lent != nil {
		content = g.lent
	}
	*g = gather{}
	return content[:len(content):len(content)]
}
