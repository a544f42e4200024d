// Package control lets a server report what only its own runtime knows, such as heap allocations, over a Unix socket.
// Linux only.
package control
