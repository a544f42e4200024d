// Command measure compares the CPU time of what the library does for a program with what package net needs for it:
//
//	relay    a TCP proxy by Relay, and one by io.Copy, which splices
//	fanout   one message to many streams by Buffer.Share, and by a goroutine and a channel for each
//
// The servers are processes of their own with one CPU, each in its turn; the load is on another CPU, and checks what it
// gets. The figures are medians.
package main
