package polled

import (
	"container/list"
	"sync"

	"github.com/tandem-io/tandem/session"
)

// acceptQueue is the Handler of a listener, and holds the sessions that nobody has accepted. Its callbacks run on the
// loops, until each stream gets the handler of its session. The queue is a list, so that a session that ends can leave it
// from any place.
type acceptQueue struct {
	session.BaseHandler

	mu       sync.Mutex       // guards what follows
	listener session.Listener // nil until Listen has it
	sessions list.List        // of *StreamSession
	paused   bool             // whether accepting was paused, because the queue is long
	closed   bool
	notice   notice
}

// OnOpen implements Handler.
func (q *acceptQueue) OnOpen(s *session.Stream) {
	b := NewStreamSession(s)
	b.handler.ended = func() { q.remove(b) }
	b.handler.setRoom(mostUnreadUnaccepted)
	tell(&q.mu, func() func() {
		if q.closed {
			_ = s.Abort()
			return nil
		}
		b.queued = q.sessions.PushBack(b)
		q.limit()
		return q.notice.news()
	})
}

// ended follows that the listener accepts no longer.
func (q *acceptQueue) ended() { tell(&q.mu, q.notice.news) }

// limit pauses and resumes accepting, according to the length of the queue. mu is held.
func (q *acceptQueue) limit() {
	switch {
	case q.listener == nil:
	case !q.paused && q.sessions.Len() >= mostUnaccepted:
		q.paused = true
		q.listener.PauseAccept()
	case q.paused && q.sessions.Len() <= mostUnaccepted/2:
		q.paused = false
		q.listener.ResumeAccept()
	}
}

// take removes the first session from the queue, and returns it. nil: the queue is empty.
func (q *acceptQueue) take() *StreamSession {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notice.look()
	first := q.sessions.Front()
	if first == nil {
		return nil
	}
	b := first.Value.(*StreamSession)
	q.removeLocked(b)
	b.handler.setRoom(mostUnread)
	return b
}

// remove removes a session from the queue, if it is still there.
func (q *acceptQueue) remove(b *StreamSession) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.removeLocked(b)
}

func (q *acceptQueue) removeLocked(b *StreamSession) {
	if b.queued == nil {
		return
	}
	q.sessions.Remove(b.queued)
	b.queued = nil
	q.limit()
}
