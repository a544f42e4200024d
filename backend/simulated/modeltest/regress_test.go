package modeltest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// regressions are programs that once broke a rule.
var regressions = map[string]Program{
	// The queue held more than WriteBufferLimit, and WritePart said that the stream had ended.
	"WritePart above the limit": {
		Seed: 2, Completions: true, Loops: 2, Faults: 1, Options: 4,
		Ops: []Op{{"Listen", 0, "", 0, 0}, {"Adopt", 0, "", 0, 330}, {"Turns", 0, "", 0, 4}, {"WritePart", 1, "notify", 1, 10}},
	},
	// A function of WriteNotify filled the queue again, and OnWritable was called all the same.
	"OnWritable for a full queue": {
		Options: 4,
		Ops:     []Op{{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"Turns", 0, "", 0, 4}, {"Writev", 0, "notify", 0, 3}},
	},
	// The loop died before it had attached the socket, and OnClose got net.ErrClosed.
	"adopted on a dying loop": {
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"Turns", 0, "", 0, 4}, {"Adopt", 0, "other", 0, 0},
			{"Fail", 0, "other", 0, 1},
		},
	},
	// The stream was over before the task came that brings its socket, which stayed open.
	"closed before its socket has come": {
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"Adopt", 0, "", 0, 0}, {"Connect", 0, "", 0, 0},
			{"Turns", 0, "", 0, 4}, {"Take", 0, "close", 0, 10}, {"Post", 3, "post", 0, 150001}, {"Adopt", 2, "other", 0, 150001},
			{"CloseInStages", 3, "timer", 0, 70000},
		},
	},
	// A function of WriteNotify ended the goroutine while a dial ended, and OnClose was never called.
	"Goexit at the end of a dial": {
		Loops: 3, Balance: 3, Reads: 2,
		Ops: []Op{
			{"Listen", 0, "", 0, 3}, {"PeerDial", 0, "", 0, 2500}, {"PeerDial", 0, "", 0, 1000}, {"Turns", 0, "", 0, 4},
			{"ConnClose", 3, "notify", 0, 3}, {"Connect", 0, "data", 0, 300}, {"SetValue", 0, "notify", 1, 300},
			{"CloseInStages", 1, "", 1, 3}, {"Goexit", 0, "notify", 0, 10},
		},
	},
	// The model did not know that a peer may reset a connection before the dial has it: the first attempt's error is told.
	"reset before a dial has it": {
		Seed: 4, Faults: 1,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"Connect", 0, "", 0, 3}, {"PeerDial", 0, "", 0, 0},
			{"Turns", 0, "", 0, 4}, {"PeerReset", 2, "", 0, 0},
		},
	},
	// What was written to a Conn before it was live seemed to be taken, although FIN had been asked for.
	"Detach behind CloseWrite": {
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"Adopt", 0, "", 0, 0}, {"Turns", 0, "", 0, 4}, {"CloseWrite", 0, "other", 0, 0},
			{"Detach", 0, "post", 0, 10},
		},
	},
	// The simulated driver forgot what it had accepted when the first of several new streams ended its goroutine.
	"Goexit as several have come": {
		Completions: true, Loops: 2, Faults: 2, Balance: 1,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0},
			{"Turns", 0, "", 0, 4}, {"Abort", 0, "open", 0, 0}, {"Abort", 0, "data", 0, 0}, {"Abort", 0, "open", 0, 0},
			{"Goexit", 2, "open", 1, 1},
		},
	},
	"Goexit as the first of several opens": {
		Seed: 7, Completions: true, Loops: 2, Faults: 1, Balance: 1,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0},
			{"Turns", 0, "", 0, 4}, {"Goexit", 0, "open", 0, 1},
		},
	},
	// SetHandler asked for another OnData, new bytes came before that, and OnData was called for them twice.
	"new bytes after SetHandler": {
		Completions: true, Reads: 3,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 2500}, {"PeerDial", 0, "", 0, 0}, {"Turns", 0, "", 0, 4},
			{"SetHandler", 0, "data", 0, 0},
		},
	},
	// The model read behind the bytes that a layer had read, in a function that it had posted before DetachWith.
	"posted before DetachWith": {
		Buffers: 10,
		Ops: []Op{
			{"Listen", 0, "", 0, 1}, {"PeerDial", 0, "", 0, 64}, {"Connect", 0, "", 0, 0}, {"Turns", 0, "", 0, 4},
			{"Abort", 0, "open", 0, 0}, {"Discard", 1, "other", 0, 1}, {"Detach", 1, "data", 1, 1},
		},
	},
	// The model did not know that a Conn has a CloseTimeout, too.
	"Close of a Conn whose peer reads nothing": {
		Loops: 2, Buffers: 1000, Balance: 1,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"Connect", 0, "", 0, 1}, {"Adopt", 0, "", 0, 20000}, {"Turns", 0, "", 0, 4},
			{"Detach", 1, "close", 0, 2500}, {"ConnClose", 0, "close", 3, 300}, {"PeerStop", 1, "", 1, 1},
			{"Every", 3, "writable", 1, 1000},
		},
	},
	// The simulated kernel let time pass although a goroutine that sends had room again.
	"Close of a Conn with a queue for small buffers": {
		Seed: 12, Completions: true, Loops: 2, Buffers: 10, Files: 12, Options: 1, MaxConns: 3, Reject: true, Memory: 3000,
		Balance: 3, Reads: 2,
		Ops: []Op{
			{"Listen", 0, "", 0, 1}, {"PeerDial", 0, "", 0, 64}, {"PeerDial", 0, "", 0, 3}, {"Turns", 0, "", 0, 4},
			{"Writev", 1, "writable", 3, 1}, {"Detach", 3, "", 0, 600}, {"Panic", 1, "eof", 3, 600},
			{"Detach", 1, "post", 2, 0}, {"Dial", 2, "writable", 1, 1}, {"Abort", 2, "eof", 0, 64},
			{"ConnClose", 0, "eof", 1, 0},
		},
	},
	// A function of Post ended the goroutine behind OnClose of a dial that had failed, and the others never ran.
	"Goexit behind the end of a dial": {
		Completions: true, Loops: 2,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"Connect", 0, "", 0, 1}, {"Turns", 0, "", 0, 4}, {"Unlisten", 0, "post", 0, 0},
			{"Detach", 0, "open", 0, 0}, {"After", 0, "notify", 0, 0}, {"Goexit", 0, "post", 0, 1},
		},
	},
	// The model did not know that a Shutdown of an engine that is polled makes turns of its own.
	"turns of a Shutdown": {
		Seed: 2, Completions: true, Buffers: 3000, Options: 1, Memory: 3000, Reads: 1, End: 10,
		Ops: []Op{
			{"Listen", 0, "", 0, 1}, {"PeerDial", 0, "", 0, 9000}, {"PeerDial", 0, "", 0, 90300}, {"Adopt", 0, "", 0, 0},
			{"Turns", 0, "", 0, 4}, {"SetHandler", 1, "", 0, 0},
		},
	},
	// A loop that died beside the others was interrupted, and both it and the test waited for all goroutines.
	"interrupted as it dies": {
		Seed: 957, Loops: 3, Faults: 2, Buffers: 1000, ReadBlocked: true, Reads: 2, End: 10,
		Ops: []Op{
			{"Listen", 0, "", 0, 1}, {"PeerDial", 0, "", 0, 0}, {"Adopt", 0, "", 0, 30300}, {"Turns", 0, "", 0, 4},
			{"ConnClose", 3, "open", 1, 30300}, {"Fail", 1, "notify", 3, 1}, {"ConnLook", 2, "post", 0, 5000},
			{"Dial", 2, "other", 2, 30300},
		},
	},
	// A stream was aborted before its socket came, and its peer saw FIN instead of a reset.
	"aborted before its socket has come": {
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"Turns", 0, "", 0, 4}, {"Adopt", 0, "open", 0, 0},
			{"Writev", 1, "open", 0, 1}, {"Abort", 1, "open", 0, 0},
		},
	},
	// The model counted bytes to a turn's share that had been read without OnData.
	"bytes that were read before OnData": {
		Seed: 39, Completions: true, Faults: 2, Buffers: 3000, Options: 2, ReadBlocked: true, Answers: 1000,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 3300}, {"Discard", 0, "post", 0, 1000}, {"Abort", 0, "open", 0, 0},
		},
	},
	// Two Conns that were closed waited for each other, for which their options set no limit, and the model did not know.
	"Conns that wait for each other": {
		Seed: 36, Completions: true, Faults: 1, Buffers: 10, Options: 4, HalfClose: true, ReadBlocked: true, Reject: true,
		Memory: 3000, Balance: 1, Reads: 2, Answers: 10, Late: 8,
		Ops: []Op{
			{"Listen", 0, "", 0, 3}, {"Connect", 1, "", 0, 330}, {"Connect", 1, "", 0, 330}, {"PeerDial", 2, "", 0, 1},
			{"NotifyDetach", 0, "eof", 2, 330}, {"NotifyDetach", 0, "eof", 0, 10}, {"NotifyDetach", 2, "eof", 0, 330},
			{"PeerStop", 1, "eof", 0, 330}, {"NotifyDetach", 0, "eof", 1, 330}, {"PeerStop", 2, "eof", 0, 10},
		},
	},
	// FIN came in the middle of the handshake, and the loop of a stream whose handshake could not send turned for ever.
	"CloseWrite before a handshake is done": {
		TLS: true,
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 3, "post", 3, 1}, {"CloseWrite", 3, "open", 1, 10},
		},
	},
	// A stream whose connection had failed as its handshake ended heard of the peer's end, and had not opened.
	"a failure as a handshake ends": {
		Seed: 1215, Completions: true, Loops: 3, Faults: 1, Buffers: 300, Options: 1, MaxConns: 1, Reject: true, Balance: 3, Reads: 2,
		Answers: 10, End: 1000, TLS: true,
		Ops: []Op{
			{"Listen", 0, "", 0, 1}, {"PeerDial", 3, "", 0, 10}, {"Adopt", 0, "", 0, 1}, {"Adopt", 2, "", 0, 99},
			{"Adopt", 1, "", 0, 9300}, {"PauseRead", 1, "other", 0, 5000}, {"Idle", 0, "other", 1, 5000},
			{"Abort", 1, "other", 3, 5000}, {"Idle", 0, "other", 3, 5000}, {"Idle", 3, "other", 1, 5000},
			{"Fail", 2, "other", 1, 5000}, {"Abort", 0, "other", 0, 5000},
		},
	},
	// The end of a stream waited for what was written before its handshake, which had failed.
	"a write before a handshake that fails": {
		Faults: 1, Options: 4, ReadBlocked: true, MaxConns: 1, Balance: 2, Reads: 3, TLS: true,
		Ops: []Op{
			{"Listen", 0, "", 0, 3}, {"PeerDial", 0, "", 0, 99}, {"PeerDial", 0, "", 0, 3}, {"PeerDial", 0, "", 0, 3},
			{"Adopt", 3, "", 0, 0}, {"WriteNotify", 0, "", 1, 330},
		},
	},
	// A loop that has died takes no Post, while a stream of it that has not been told can still be detached, which ends it with
	// nil. The model took the refusal for the end of the stream.
	"Detach from a loop that has died": {
		Ops: []Op{
			{"Listen", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0}, {"PeerDial", 0, "", 0, 0},
			{"Connect", 0, "", 0, 0}, {"Fail", 0, "close", 2, 3}, {"Post", 1, "close", 0, 3}, {"Detach", 1, "close", 0, 3},
		},
	},
	// The simulated kernel did not answer what had had no room at an end that was closed, and a Conn waited for ever.
	"a Write to an end that is closed": {
		Seed: 6, Completions: true, Faults: 1, Buffers: 1000, Options: 1, HalfClose: true, ReadBlocked: true, MaxConns: 3,
		Reject: true, Balance: 3, Reads: 2, End: 10,
		Ops: []Op{
			{"Listen", 0, "", 0, 2}, {"PeerDial", 0, "", 0, 0}, {"Connect", 3, "", 0, 300}, {"PeerDial", 2, "", 0, 1},
			{"Turns", 0, "", 0, 4}, {"SetValue", 1, "open", 2, 1000}, {"Detach", 2, "open", 1, 300},
			{"ConnWrite", 2, "notify", 1, 30300},
		},
	},
}

func TestRegressions(t *testing.T) {
	for name, p := range regressions {
		t.Run(name, func(t *testing.T) { require.NoError(t, run(t, p)) })
	}
}
