package frame

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// delimiters are sequences of bytes, one of which is searched. They are immutable.
type delimiters struct {
	given   [][]byte  // in the user's order
	longest [][]byte  // the same, those with more bytes first
	ends    [256]bool // whether a byte is the last of a delimiter
	only    int       // the only such byte, or -1
}

// newDelimiters copies the delimiters of an option, if each of them can be found.
func newDelimiters(option string, ds [][]byte) (*delimiters, error) {
	if err := checkDelimiters(option, ds); err != nil {
		return nil, err
	}
	c := &delimiters{}
	for _, d := range ds {
		c.given = append(c.given, bytes.Clone(d))
		c.only = int(d[len(d)-1])
		c.ends[c.only] = true
	}
	for b, is := range c.ends {
		if is && b != c.only {
			c.only = -1
			break
		}
	}
	c.longest = slices.Clone(c.given)
	slices.SortStableFunc(c.longest, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	return c, nil
}

func checkDelimiters(option string, ds [][]byte) error {
	if len(ds) == 0 {
		return fmt.Errorf("frame: %s is empty, but must have one at least", option)
	}
	for i, d := range ds {
		if len(d) == 0 {
			return fmt.Errorf("frame: %s[%d] is empty", option, i)
		}
		for j, other := range ds {
			if len(other) > 0 && bytes.Contains(d[:len(d)-1], other) {
				return fmt.Errorf("frame: %s[%d], %q, is never found, because %q comes first in it", option, i, d, ds[j])
			}
		}
	}
	return nil
}

// find returns the end of the first delimiter whose last byte is at p[from] or behind it, and the size of the longest
// delimiter that ends there. It returns 0, 0 if there is none.
func (c *delimiters) find(p []byte, from int) (end, size int) {
	if size = len(c.longest[0]); size > 2 && len(c.longest) == 1 { // for shorter ones this takes longer
		begin := max(0, from-size+1)
		i := bytes.Index(p[begin:], c.longest[0])
		if i < 0 {
			return 0, 0
		}
		return begin + i + size, size
	}
	for {
		i := c.nextEnd(p[from:])
		if i < 0 {
			return 0, 0
		}
		from += i + 1
		for _, d := range c.longest {
			if bytes.HasSuffix(p[:from], d) {
				return from, len(d)
			}
		}
	}
}

// nextEnd returns the index of the first byte of p that is the last of a delimiter, or -1.
func (c *delimiters) nextEnd(p []byte) int {
	if c.only >= 0 {
		return bytes.IndexByte(p, byte(c.only))
	}
	for i, b := range p {
		if c.ends[b] {
			return i
		}
	}
	return -1
}

// search is how far the bytes at the front have been searched for the end of what they begin with.
type search struct {
	scanned int // bytes in which no delimiter ends
}

// find looks for one of ds behind at most most bytes. It returns where it ends, and its size, and forgets how far p has been
// searched. If it may still come, it returns how many bytes are missing, and if there are too many in front, nothing.
func (s *search) find(ds *delimiters, p []byte, most int) (end, size, need int) {
	room := most + len(ds.longest[0])
	window := p[:min(len(p), room)]
	end, size = ds.find(window, s.scanned)
	switch {
	case size == 0 && len(window) < room:
		s.scanned = len(window)
		return 0, 0, min(ds.missing(window), room-len(window))
	case size == 0 || end-size > most:
		return 0, 0, 0
	}
	s.scanned = 0
	return end, size, 0
}

// missing returns the least number of bytes that must follow p before a delimiter can end.
func (c *delimiters) missing(p []byte) int {
	least := len(c.longest[0])
	for _, d := range c.longest {
		begun := min(len(p), len(d)-1)
		for !bytes.HasPrefix(d, p[len(p)-begun:]) {
			begun--
		}
		least = min(least, len(d)-begun)
	}
	return least
}
