package http1

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
)

// tricks are what is sent to make two readers of one stream disagree, and other things that are no HTTP. None of them
// may be taken for a message. status is what a server answers; 0 is 400.
var tricks = map[string]struct {
	raw    string
	status int
}{
	// Two lengths.
	"CL.TE":                     {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 0},
	"TE.CL":                     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST", 0},
	"CL.0 and TE":               {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"CL and a bad TE":           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\nabc", 501},
	"CL.CL":                     {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\nContent-Length: 7\r\n\r\n12345\r\na", 0},
	"the same CL twice":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc", 0},
	"CL as a list":              {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 0},
	"CL as a list that differs": {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3,0\r\n\r\nabc", 0},
	"TE.TE":                     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE.TE, one unknown":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n", 0},

	// Transfer-Encoding in disguise.
	"TE xchunked":             {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
	"TE space before colon":   {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 0},
	"TE tab before colon":     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE vertical tab":         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 0},
	"TE form feed":            {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n", 0},
	"TE NUL behind":           {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", 0},
	"TE no-break space":       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", 501},
	"TE quoted":               {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
	"TE single quotes":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n", 501},
	"TE identity":             {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501},
	"TE chunked, identity":    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
	"TE identity, chunked":    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501},
	"TE gzip, chunked":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	"TE chunked, chunked":     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
	"TE chunked, empty":       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 501},
	"TE empty, chunked":       {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 501},
	"TE with a parameter":     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501},
	"TE empty":                {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 501},
	"TE folded":               {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 501},
	"TE behind a fold":        {"POST / HTTP/1.1\r\nHost: a\r\nFoo: bar\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE behind LF":            {"POST / HTTP/1.1\r\nHost: a\r\nFoo: bar\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE behind CR":            {"POST / HTTP/1.1\r\nHost: a\r\nFoo: bar\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE behind CR CR":         {"POST / HTTP/1.1\r\nHost: a\r\nFoo: bar\r\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE without colon":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding chunked\r\n\r\n0\r\n\r\n", 0},
	"TE, a comma in the name": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding,: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE in the request line":  {"POST / HTTP/1.1 Transfer-Encoding: chunked\r\nHost: a\r\n\r\n", 0},
	"TE in HTTP/1.0":          {"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"TE and keep-alive in 1.0": {"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
		0},

	// Content-Length in disguise.
	"CL plus":          {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 0},
	"CL minus":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 0},
	"CL minus zero":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", 0},
	"CL hex":           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 0},
	"CL hex digits":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: a\r\n\r\n0123456789", 0},
	"CL underscore":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n0123456789", 0},
	"CL exponent":      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1e1\r\n\r\n0123456789", 0},
	"CL fraction":      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc", 0},
	"CL inner space":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n0123456789", 0},
	"CL empty":         {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 0},
	"CL spaces":        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  \t\r\n\r\n", 0},
	"CL 64 bits":       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551619\r\n\r\nabc", 0},
	"CL 63 bits":       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\nabc", 0},
	"CL 32 bits":       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4294967299\r\n\r\nabc", 413},
	"CL space, colon":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 0},
	"CL full width":    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xef\xbc\x93\r\n\r\nabc", 0},
	"CL for CONNECT":   {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc", 0},
	"TE for CONNECT":   {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
	"CL behind a NUL":  {"POST / HTTP/1.1\r\nHost: a\r\nX: \x00\r\nContent-Length: 3\r\n\r\nabc", 0},
	"CL behind a DEL":  {"POST / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\nContent-Length: 3\r\n\r\nabc", 0},
	"CL, NUL in name":  {"POST / HTTP/1.1\r\nHost: a\r\nContent\x00-Length: 3\r\n\r\nabc", 0},
	"CL, tab in front": {"POST / HTTP/1.1\r\nHost: a\r\n\tContent-Length: 3\r\n\r\nabc", 0},

	// Chunks.
	"chunk plus":               {chunkedHead + "+5\r\nhello\r\n0\r\n\r\n", 0},
	"chunk minus":              {chunkedHead + "-5\r\nhello\r\n0\r\n\r\n", 0},
	"chunk 0x":                 {chunkedHead + "0x5\r\nhello\r\n0\r\n\r\n", 0},
	"chunk space in front":     {chunkedHead + " 5\r\nhello\r\n0\r\n\r\n", 0},
	"chunk space behind":       {chunkedHead + "5 \r\nhello\r\n0\r\n\r\n", 0},
	"chunk tab behind":         {chunkedHead + "5\t\r\nhello\r\n0\r\n\r\n", 0},
	"chunk without size":       {chunkedHead + "\r\nhello\r\n0\r\n\r\n", 0},
	"chunk extension alone":    {chunkedHead + ";a\r\nhello\r\n0\r\n\r\n", 0},
	"chunk underscore":         {chunkedHead + "0_5\r\nhello\r\n0\r\n\r\n", 0},
	"chunk of 64 bits":         {chunkedHead + "10000000000000005\r\nhello\r\n0\r\n\r\n", 413},
	"chunk of -1":              {chunkedHead + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 413},
	"chunk of 32 bits":         {chunkedHead + "100000005\r\nhello\r\n0\r\n\r\n", 413},
	"chunk, too many zeros":    {chunkedHead + "00000000000000005\r\nhello\r\n0\r\n\r\n", 0},
	"chunk line ends in LF":    {chunkedHead + "5\nhello\r\n0\r\n\r\n", 0},
	"chunk line ends in CR":    {chunkedHead + "5\rhello\r\n0\r\n\r\n", 0},
	"last line ends in LF":     {chunkedHead + "5\r\nhello\r\n0\n\r\n", 0},
	"chunk data ends in LF":    {chunkedHead + "5\r\nhello\n0\r\n\r\n", 0},
	"chunk data ends in CR":    {chunkedHead + "5\r\nhello\r0\r\n\r\n", 0},
	"chunk data is longer":     {chunkedHead + "5\r\nhello!\r\n0\r\n\r\n", 0},
	"chunk data is shorter":    {chunkedHead + "5\r\nhell\r\n0\r\n\r\n", 0},
	"extension with LF":        {chunkedHead + "5;\nxx\r\nhello\r\n0\r\n\r\n", 0},
	"extension with CR":        {chunkedHead + "5;a\rb\r\nhello\r\n0\r\n\r\n", 0},
	"extension with NUL":       {chunkedHead + "5;a=\x00\r\nhello\r\n0\r\n\r\n", 0},
	"extension without name":   {chunkedHead + "5;\r\nhello\r\n0\r\n\r\n", 0},
	"extension without value":  {chunkedHead + "5;a=\r\nhello\r\n0\r\n\r\n", 0},
	"extension, open quote":    {chunkedHead + "5;a=\"\r\nhello\r\n0\r\n\r\n", 0},
	"extension, open escape":   {chunkedHead + "5;a=\"\\\r\nhello\r\n0\r\n\r\n", 0},
	"extension, space at end":  {chunkedHead + "5;a \r\nhello\r\n0\r\n\r\n", 0},
	"extension, junk behind":   {chunkedHead + "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", 0},
	"extension, two values":    {chunkedHead + "5;a=b c\r\nhello\r\n0\r\n\r\n", 0},
	"extension, control byte":  {chunkedHead + "5;a=\"\x01\"\r\nhello\r\n0\r\n\r\n", 0},
	"extension, escaped NUL":   {chunkedHead + "5;a=\"\\\x00\"\r\nhello\r\n0\r\n\r\n", 0},
	"comma for semicolon":      {chunkedHead + "5,a\r\nhello\r\n0\r\n\r\n", 0},
	"trailer with TE":          {chunkedHead + "0\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
	"trailer with CL":          {chunkedHead + "0\r\ncontent-length: 3\r\n\r\nabc", 0},
	"trailer with Host":        {chunkedHead + "0\r\nHost: b\r\n\r\n", 0},
	"trailer with te":          {chunkedHead + "0\r\nte: trailers\r\n\r\n", 0},
	"trailer folded":           {chunkedHead + "0\r\nA: b\r\n c\r\n\r\n", 0},
	"trailer with LF":          {chunkedHead + "0\r\nA: b\n\r\n", 0},
	"trailer ends in LF":       {chunkedHead + "0\r\nA: b\r\n\n", 0},
	"trailer without colon":    {chunkedHead + "0\r\nGET / HTTP/1.1\r\n\r\n", 0},
	"trailer without name":     {chunkedHead + "0\r\n: a\r\n\r\n", 0},
	"trailer, space, colon":    {chunkedHead + "0\r\nA : b\r\n\r\n", 0},
	"trailer announces TE":     {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Transfer-Encoding\r\n\r\n0\r\n\r\n", 0},
	"trailer announces Host":   {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X, host\r\n\r\n0\r\n\r\n", 0},
	"trailer announces more":   {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: te, Host, Upgrade\r\n\r\n0\r\n\r\n", 0},
	"trailer announces spaces": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: a b\r\n\r\n0\r\n\r\n", 0},

	// Lines and fields.
	"LF alone":              {"GET / HTTP/1.1\nHost: a\n\n", 0},
	"LF behind the target":  {"GET /x\nHost: a\r\n\r\n", 0},
	"LF at the end":         {"GET / HTTP/1.1\r\nHost: a\r\n\n", 0},
	"CR at the end":         {"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 0},
	"CR in a value":         {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 0},
	"NUL in a value":        {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 0},
	"ESC in a value":        {"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n", 0},
	"fold at once":          {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 0},
	"fold":                  {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 0},
	"fold that is empty":    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n \r\n\r\n", 0},
	"no colon":              {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 0},
	"no name":               {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 0},
	"space before colon":    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 0},
	"name beyond ASCII":     {"GET / HTTP/1.1\r\nHost: a\r\nX\xe4: b\r\n\r\n", 0},
	"name in parentheses":   {"GET / HTTP/1.1\r\nHost: a\r\n(X): b\r\n\r\n", 0},
	"a head in a head":      {"GET / HTTP/1.1\r\nHost: a\r\nGET /admin HTTP/1.1\r\n\r\n", 0},
	"two empty lines":       {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"an empty line with LF": {"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"space in front":        {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},

	// Host.
	"no Host":           {"GET / HTTP/1.1\r\nAccept: a\r\n\r\n", 0},
	"Host twice":        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 0},
	"Host twice in 1.0": {"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 0},
	"Host with a space": {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 0},
	"Host with a path":  {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0},
	"Host with a user":  {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 0},
	"Host, bad port":    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 0},
	"Host, two ports":   {"GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n", 0},
	"Host, bare IPv6":   {"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 0},
	"Host, open IPv6":   {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0},
	"Host, empty IPv6":  {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", 0},
	"Host behind IPv6":  {"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 0},
	"Host, port alone":  {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 0},
	"Host, IPv6 zone":   {"GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n", 0},
	"Host in IPv6":      {"GET / HTTP/1.1\r\nHost: [::1/]\r\n\r\n", 0},

	// Request lines.
	"space in the target":       {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"tab in the target":         {"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"NUL in the target":         {"GET /a\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a target beyond ASCII":     {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a fragment":                {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"no target":                 {"GET  HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"no version":                {"GET /\r\nHost: a\r\n\r\n", 0},
	"two spaces":                {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"two spaces in front of it": {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"space behind the version":  {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0},
	"tabs":                      {"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"method with a colon":       {"GET: / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"no method":                 {" / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"HTTP/0.9":                  {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	"HTTP/2.0":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
	"HTTP/3.0":                  {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
	"HTTP/1":                    {"GET / HTTP/1\r\nHost: a\r\n\r\n", 0},
	"HTTP/1.10":                 {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 0},
	"HTTP/01.1":                 {"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 0},
	"HTTP/+1.1":                 {"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 0},
	"http/1.1":                  {"GET / http/1.1\r\nHost: a\r\n\r\n", 0},
	"HTTPS/1.1":                 {"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 0},
	"ICY":                       {"GET / ICY/1.1\r\nHost: a\r\n\r\n", 0},
	"a path without slash":      {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"* for GET":                 {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"CONNECT a path":            {"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"CONNECT without port":      {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"CONNECT an empty port":     {"CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"CONNECT a URI":             {"CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a user in the target":      {"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a URI without host":        {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a URI with port alone":     {"GET http://:80/x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a URI with a bad host":     {"GET http://a\"b/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a URI without authority":   {"GET a:b://c HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"a bad escape":              {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	"TLS":                       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 0},
}

const chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestTricks(t *testing.T) {
	for name, trick := range tricks {
		t.Run(name, func(t *testing.T) {
			var d *RequestDecoder
			got := sameInPieces(t, trick.raw, func(pieces [][]byte, patient bool) outcome {
				d = requests()
				return drive(t, d, pieces, patient, false, showRequest)
			})
			require.Empty(t, got.Messages, "taken for a message")
			status, kind := http.StatusBadRequest, frame.ErrMalformed
			if trick.status != 0 {
				status = trick.status
			}
			if status == http.StatusRequestEntityTooLarge {
				kind = frame.ErrTooLarge
			}
			assert.Equal(t, status, d.Status(), got.Err)
			assert.ErrorIs(t, got.kind, kind, got.Err)
			again, n, need, err := d.Decode(nil)
			assert.Nil(t, again, "after an error")
			assert.Zero(t, n, "after an error")
			assert.Zero(t, need, "after an error")
			assert.Error(t, err, "after an error")
			assert.Nil(t, d.Pending(), "after an error")
			_, ok, end := d.End(nil)
			assert.False(t, ok, "End")
			assert.Same(t, err, end, "End")
		})
	}
}

// badResponses are answers to GET, or to the method in front, that are refused.
var badResponses = map[string]string{
	"CL and TE":           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"CL and TE to HEAD":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	"CL twice":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"CL, bad, for 304":    "HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n",
	"TE unknown":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
	"TE in 1.0":           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"no status":           "HTTP/1.1\r\n\r\n",
	"two digits":          "HTTP/1.1 20\r\n\r\n",
	"four digits":         "HTTP/1.1 2000 OK\r\n\r\n",
	"status 099":          "HTTP/1.1 099 OK\r\n\r\n",
	"status +20":          "HTTP/1.1 +20 OK\r\n\r\n",
	"two spaces":          "HTTP/1.1  200 OK\r\n\r\n",
	"NUL in the reason":   "HTTP/1.1 200 O\x00K\r\n\r\n",
	"DEL in the reason":   "HTTP/1.1 200 O\x7fK\r\n\r\n",
	"CR in the reason":    "HTTP/1.1 200 O\rK\r\n\r\n",
	"LF alone":            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	"HTTP/2.0":            "HTTP/2.0 200 OK\r\n\r\n",
	"ICY":                 "ICY 200 OK\r\n\r\n",
	"an empty line":       "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	"fold":                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
	"TE in a trailer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
	"announced TE":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Upgrade\r\n\r\n0\r\n\r\n",
	"announced CL":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n",
	"a chunk of 64 bits":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
	"a request":           "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"content longer than": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
}

func TestBadResponses(t *testing.T) {
	for name, raw := range badResponses {
		t.Run(name, func(t *testing.T) {
			method := "GET"
			if strings.HasSuffix(name, "to HEAD") {
				method = "HEAD"
			}
			got := sameInPieces(t, raw, func(pieces [][]byte, patient bool) outcome {
				return drive(t, responses(method), pieces, patient, false, showResponse)
			})
			require.Empty(t, got.Messages, "taken for a message")
			require.NotEmpty(t, got.Err, "taken for a message")
		})
	}
}

// TestUnasked is a server that answers twice, and one that speaks first.
func TestUnasked(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for methods, answers := range map[string]int{"": 0, "GET": 1, "HEAD GET": 2} {
		got := sameInPieces(t, strings.Repeat(answer, 3), func(pieces [][]byte, patient bool) outcome {
			return drive(t, responses(methods), pieces, patient, false, showResponse)
		})
		assert.Len(t, got.Messages, answers, "%q", methods)
		assert.ErrorIs(t, got.kind, frame.ErrMalformed, "%q", methods)
	}
	d := Responses{Assume: "GET"}.NewResponseDecoder()
	got := drive(t, d, whole(strings.Repeat(answer, 3)), false, true, showResponse)
	assert.Len(t, got.Messages, 3)
	assert.Empty(t, got.Err)
}

// TestCutShort ends every stream early, everywhere.
func TestCutShort(t *testing.T) {
	for name, raw := range requestStreams {
		t.Run(name, func(t *testing.T) {
			all := drive(t, requests(), whole(raw), false, true, showRequest)
			for i := range len(raw) {
				d := requests()
				got := drive(t, d, whole(raw[:i]), false, true, showRequest)
				between := i == 0 || raw[:i] == crlf || d.state == atEnded || d.state == atHeld
				for _, end := range all.Ends {
					between = between || i == end || i == end+2 && raw[end:i] == crlf
				}
				if between {
					assert.Empty(t, got.Err, "after %d bytes", i)
				} else {
					assert.ErrorIs(t, got.kind, io.ErrUnexpectedEOF, "after %d bytes: %v", i, got)
				}
			}
		})
	}
}
