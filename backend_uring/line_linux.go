package uring

import "github.com/tandem-io/tandem/backend"

// line is a queue of sockets that wait for something.
type line struct {
	list []*backend.Socket // list[at:] wait
	at   int
}

func (l *line) len() int { return len(l.list) - l.at }

func (l *line) push(s *backend.Socket) {
	if l.at > 64 && l.at > len(l.list)/2 {
		n := copy(l.list, l.list[l.at:])
		clear(l.list[n:])
		l.list, l.at = l.list[:n], 0
	}
	l.list = append(l.list, s)
}

// pop removes and returns the first socket. There must be one.
func (l *line) pop() *backend.Socket {
	s := l.list[l.at]
	l.list[l.at] = nil
	l.at++
	if l.at == len(l.list) {
		l.list, l.at = l.list[:0], 0
	}
	return s
}
