package session

import (
	"net"
	"time"
)

// postsBatch is after how many posted functions the clock is looked at.
const postsBatch = 8

// Post runs fn on the stream's loop, after OnOpen has returned and before OnClose; if the stream never opens, right
// after OnClose. It runs once, in the order of the calls. Post returns net.ErrClosed if the stream has ended already,
// and then fn does not run. Any goroutine; it does not block.
func (s *Stream) Post(fn func()) error {
	if fn == nil {
		return errNoFunction
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.phase > closing {
		return net.ErrClosed
	}
	if !s.posted {
		if s.loop.Post(s.events()) != nil {
			return net.ErrClosed
		}
		s.posted = true
	}
	s.posts.push(fn)
	return nil
}

// hadShare reports whether functions of the program's, i of which were called since begin, have had their share of the
// turn: about a millisecond. It looks at the clock after each postsBatch of them.
func (l *loop) hadShare(i int, begin int64) bool {
	return i%postsBatch == 0 && l.Clock()-begin > int64(time.Millisecond)
}

// runPosts runs what was posted, for about a millisecond; the rest has its turn later.
func (s *Stream) runPosts() {
	s.mu.Lock()
	last := s.posts.last // what is posted meanwhile has its turn later
	s.mu.Unlock()
	if last == nil {
		return
	}
	begin := s.loop.Clock()
	for i := 1; ; i++ {
		l := s.nextPost()
		if l == nil {
			return
		}
		s.call(given, l.value)
		if l == last {
			return
		}
		if s.loop.hadShare(i, begin) {
			s.postAgain()
			return
		}
	}
}

// nextPost takes the next posted function off the list, one at a time, because it may end the goroutine. nil: there is
// none.
func (s *Stream) nextPost() *link[func()] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts.pop()
}

// postAgain has the loop come back for the rest of what was posted.
func (s *Stream) postAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.posted && s.loop.Post(s.events()) == nil {
		s.posted = true
	}
}

// runAllPosts runs what was posted and has not run, at the stream's end: all of it, also if a function ends the goroutine,
// because nobody comes back to a stream that is over.
func (s *Stream) runAllPosts() {
	whole := false
	defer func() {
		if !whole {
			s.runAllPosts()
		}
	}()
	for l := s.nextPost(); l != nil; l = s.nextPost() {
		s.call(given, l.value)
	}
	whole = true
}
