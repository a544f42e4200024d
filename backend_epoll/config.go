package epoll

// Config says how a driver runs. Its zero value is valid.
type Config struct {
	Sockets      int  // room for so many sockets from the start
	LockedThread bool // the loop is locked to its thread: sleep in epoll_pwait instead of Go's poller
}
