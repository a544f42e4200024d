//go:build giouring && linux

package ring

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// differences lists everything that is not the same on both sides, with the reason. Everything else is compared. Keys
// are constants of ours, fields of structures of ours, Prep methods of ours, and helpers of giouring. A constant, a
// field or a method without a counterpart fails its test until it is listed; so does an entry that does not differ.
//
// giouring is from August 2023 and knows what Linux 6.5 knew.
var differences = map[string]string{
	// Constants that giouring lacks.
	"SetupNoSQArray":      "newer: Linux 6.6",
	"SetupHybridIOPoll":   "newer: Linux 6.13",
	"SetupCQEMixed":       "newer: Linux 6.18",
	"FeatRecvSendBundle":  "newer: Linux 6.10",
	"FeatMinTimeout":      "newer: Linux 6.12",
	"FeatRWAttr":          "newer: Linux 6.14",
	"FeatNoIOWait":        "newer: Linux 6.15",
	"EnterAbsTimer":       "newer: Linux 6.12",
	"EnterExtArgReg":      "newer: Linux 6.13",
	"EnterNoIOWait":       "newer: Linux 6.15",
	"RecvSendBundle":      "newer: Linux 6.10",
	"SendVectorized":      "newer: seen on Linux 6.18",
	"AcceptDontWait":      "newer: Linux 6.10",
	"AcceptPollFirst":     "newer: Linux 6.10",
	"CancelUserData":      "newer: Linux 6.6",
	"CancelOp":            "newer: Linux 6.6",
	"CQEFBufMore":         "newer: Linux 6.12",
	"CQEFSkip":            "newer: Linux 6.18",
	"CQEF32":              "newer: Linux 6.18",
	"RegisterPBufStatus":  "newer: Linux 6.8",
	"RegisterNAPI":        "newer: Linux 6.9",
	"UnregisterNAPI":      "newer: Linux 6.9",
	"RegisterSendMsgRing": "newer: Linux 6.13",
	"RegisterQuery":       "newer: seen on Linux 6.18",
	"PBufRingInc":         "newer: Linux 6.12",

	// Fields that giouring lacks.
	"BufReg.MinLeft": "newer: it is the first part of what giouring has as Resv",
	"BufReg.Resv":    "the rest of Resv, which begins one field earlier in giouring",

	// Entries that ours fills differently.
	"PrepNop": "giouring sets Fd to -1, as liburing does; the kernel looks at it only if OpFlags has IORING_NOP_FILE",

	// Helpers of giouring that fill an entry wrongly, and are no oracle.
	"giouring.PrepareSendZC":      "Addr is that of the slice header, &buf: the header would be sent instead of the bytes",
	"giouring.PrepareTimeout":     "Addr is that of the parameter, &spec, not of the timespec",
	"giouring.PrepareLinkTimeout": "Addr is that of a local variable, which is dead when the kernel reads it",
	"giouring.PrepareConnect":     "Addr is that of a Go interface, not of a struct sockaddr",
	"giouring.PrepareMsgRingFd":   "Addr is that of a variable that holds MSG_DATA, instead of the value MSG_SEND_FD",
}

// Every difference that is listed exists, and has a reason.
func TestDifferencesFromGiouring(t *testing.T) {
	p := loadPackages(t)
	exists := map[string]bool{}
	for _, c := range p.constants() {
		exists[c.Name()] = true
	}
	for name, st := range p.structs() {
		for _, f := range fieldsOf(st) {
			exists[name+"."+f.name] = true
		}
	}
	for _, name := range p.prepMethods() {
		exists[name] = true
	}
	for name := range wrongHelpers() {
		exists["giouring."+name] = true
	}
	for name, reason := range differences {
		assert.True(t, exists[name], "%s is listed as a difference, and does not exist", name)
		assert.NotEmpty(t, strings.TrimSpace(reason), "%s is listed as a difference without a reason", name)
	}
}
