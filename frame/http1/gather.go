package http1

// gather collects the content of one message.
type gather struct {
	kept []byte // memory of our own
	lent []byte // the only part so far, in the caller's memory; kept is nil then
}

func (g *gather) len() int { return len(g.kept) + len(g.lent) }

// add appends part, which is in the caller's memory. The whole content has at most limit bytes.
func (g *gather) add(part []byte, limit int) {
	switch {
	case len(part) == 0:
	case g.len() == 0:
		g.lent = part
	default:
		g.copyLent(limit)
		g.keep(part, limit)
	}
}

// copyLent copies the lent part, before the caller reuses its memory.
func (g *gather) copyLent(limit int) {
	if lent := g.lent; lent != nil {
		g.lent = nil
		g.keep(lent, limit)
	}
}

// keep appends a copy of part. The memory at most doubles, and never exceeds limit.
func (g *gather) keep(part []byte, limit int) {
	if size := len(g.kept) + len(part); size > cap(g.kept) {
		grown := make([]byte, len(g.kept), min(limit, max(size, 2*cap(g.kept))))
		copy(grown, g.kept)
		g.kept = grown
	}
	g.kept = append(g.kept, part...)
}

// take returns the content and forgets it. Its capacity is its length, so that appending to it copies.
func (g *gather) take() []byte {
	content := g.kept
	if g.lent != nil {
		content = g.lent
	}
	*g = gather{}
	return content[:len(content):len(content)]
}
