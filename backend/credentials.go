package backend

// PeerCredentials are those of the process at the other end of a Unix socket, as they were when it called connect(2),
// listen(2) or socketpair(2); unix(7). Who that process has given its end to since is not known.
type PeerCredentials struct {
	// PID is the process, as the PID namespace of this one numbers it; 0 for a process of a namespace that this one
	// cannot see. The process may have ended, and the number be another's by now.
	PID int

	// UID and GID are its effective user and group, as the user namespace of this process numbers them.
	UID, GID int
}
