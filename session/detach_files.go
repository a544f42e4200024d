package session

import "os"

// giveFiles gives the Conn files that have come and that nobody has taken.
func (c *detached) giveFiles(files []*os.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = files
}

// TakeFiles returns the files that had come with the stream's bytes and were not taken from it. They are the caller's. As
// Read it waits until the Conn is live, within the read deadline; in callbacks of the Transport it returns none before. Files
// that are not taken are closed by Close.
func (c *detached) TakeFiles() []*os.File {
	if c.await("read", reads) != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	files := c.files
	c.files = nil
	return files
}
