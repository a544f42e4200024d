//go:build linux

package main

import "time"

// messageTime is how long a server puts up with a message that does not end: then it closes in stages.
func messageTime(l *limits) time.Duration { return l.MessageTimeout + 500*time.Millisecond }

// idleTime is how long it puts up with a peer that sends nothing.
func idleTime(l *limits) time.Duration { return l.Patience }

// attacks are all of them, in the order of SECURITY.md.
var attacks = []attack{
	{
		name: "slow-heads", what: "HTTP heads, a byte at a time", promise: "MessageTimeout, HeadBytes",
		services: []string{httpService}, peers: 200, holds: sending(64 * kib), lasts: messageTime, run: slowHeads,
	},
	{
		name: "one-byte-segments", what: "one byte in each segment, at full speed", promise: "TurnBudget, 16 reads a turn",
		services: []string{echoService}, peers: 32, holds: blocking, run: oneByteSegments,
	},
	{
		name: "never-readers", what: "ask for much, and read nothing", promise: "HighWater, WriteBufferLimit",
		services: []string{sourceService, echoService}, peers: 100, holds: blocking, defaults: true, run: neverReaders,
	},
	{
		name: "resets", what: "reset connections in every state", promise: "the cost of an end is constant",
		services: []string{echoService, httpService, u64Service, sourceService}, peers: 32, holds: blocking, run: resets,
	},
	{
		name: "fins", what: "close at once, or only half", promise: "HalfCloseTimeout",
		services: []string{echoService, halfService}, peers: 64, holds: blocking, run: fins,
	},
	{
		name: "pipelines", what: "HTTP requests without end, answers unread", promise: "HighWater",
		services: []string{httpService}, peers: 100, holds: blocking, defaults: true, run: pipelines,
	},
	{
		name: "garbage", what: "no messages, and lengths that lie, for every codec", promise: "MaxPayload and the like",
		services: []string{httpService, u64Service}, peers: 64, holds: blocking, defaults: true, run: garbage,
	},
	{
		name: "herds", what: "thousands connect at once", promise: "MaxConns, and 64 that are parked",
		services: []string{echoService}, peers: 2000, holds: bystanding, run: herds,
	},
	{
		name: "mid-frame", what: "half of a message of 16 MiB", promise: "MemoryLimit, MessageTimeout",
		services: []string{u64Service, "checksum32", httpService}, peers: 24, holds: sending(16 * mib), defaults: true,
		lasts: messageTime, run: midFrame,
	},
	{
		name: "half-open", what: "silent peers, and peers that are gone without a word", promise: "IdleTimeout, MaxConns",
		services: []string{echoService, sourceService}, peers: 300, holds: bystanding, lasts: idleTime, run: halfOpen,
	},
	{
		name: "bulk", what: "always have data", promise: "TurnBudget", services: []string{echoService, discardService},
		peers: 16, holds: blocking, defaults: true, run: bulk,
	},
	{
		name: "drip", what: "messages, a byte at a time", promise: "MessageTimeout",
		services: []string{u64Service, "varint", "line"}, peers: 150, holds: sending(64 * kib), lasts: messageTime, run: drip,
	},
	{
		name: "odd-tcp", what: "urgent data, tiny segments, windows that open by a byte", promise: "HighWater, TurnBudget",
		services: []string{echoService, sourceService}, peers: 64, holds: blocking, run: oddTCP,
	},
	{
		name: "slow-drain", what: "read a byte each 100 ms, and ask for more", promise: "HighWater, WriteBufferLimit",
		services: []string{sourceService, httpService}, peers: 100, holds: blocking, defaults: true, run: slowDrain,
	},
}
