package http1_test

import (
	"fmt"
	"net/http"

	"github.com/tandem-io/tandem/frame/http1"
)

// A server's side of one connection, without the connection: bytes come, requests are found in them, answers go out.
func Example() {
	requests, responses := http1.Requests{}, http1.Responses{}
	decoder := requests.NewRequestDecoder()
	var in, out []byte
	for _, piece := range []string{
		"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Enc",
		"oding: chunked\r\n\r\n3\r\nabc\r\n",
		"0\r\n\r\n",
	} {
		in = append(in, piece...)
		for {
			m, n, need, err := decoder.Decode(in)
			if err != nil {
				fmt.Println("answer", decoder.Status(), "and close:", err)
				return
			}
			if need > 0 {
				in = in[n:]
				break
			}
			answer := &http1.Response{
				Response: &http.Response{StatusCode: http.StatusOK, Request: m.Request},
				Content:  m.Content, // a part of in, which Append copies
			}
			if out, err = responses.Append(out, answer); err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(m.Method, m.URL.Path, len(m.Content), "bytes, keep-alive:", answer.KeepAlive())
			in = in[n:]
		}
	}
	fmt.Printf("%q\n", out)
	// Output:
	// GET /hello 0 bytes, keep-alive: true
	// POST /echo 3 bytes, keep-alive: true
	// "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
}

// A client says what it has asked for, because a response to HEAD has no content, whatever its head says.
func ExampleResponseDecoder_Expect() {
	decoder := http1.Responses{}.NewResponseDecoder()
	decoder.Expect("HEAD")
	decoder.Expect("GET")
	in := []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	for decoder.Outstanding() > 0 {
		m, n, need, err := decoder.Decode(in)
		if err != nil || need > 0 {
			fmt.Println(need, "more bytes,", err)
			return
		}
		fmt.Printf("%s: %q of %d bytes\n", m.Request.Method, m.Content, m.ContentLength)
		in = in[n:]
	}
	// Output:
	// HEAD: "" of 5 bytes
	// GET: "hello" of 5 bytes
}

// A server that looks at a request before its content comes.
func ExampleRequestDecoder_Pending() {
	decoder := http1.Requests{}.NewRequestDecoder()
	in := []byte("PUT /film HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
	_, n, need, err := decoder.Decode(in)
	fmt.Println(n == len(in), need, err)
	if m := decoder.Pending(); m != nil && m.ExpectsContinue() && m.ContentLength < 10<<20 {
		interim := &http1.Response{Response: &http.Response{StatusCode: http.StatusContinue}}
		out, err := http1.Responses{}.Append(nil, interim)
		fmt.Printf("%q %v\n", out, err)
	}
	// Output:
	// true 1000000 <nil>
	// "HTTP/1.1 100 Continue\r\n\r\n" <nil>
}

// Content of any size, a piece at a time.
func ExampleRequests_parts() {
	codec := http1.Requests{Parts: func(r *http1.Request) bool { return r.Method == http.MethodPut }}
	decoder := codec.NewRequestDecoder()
	unread := []byte("PUT /file HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none,\r\n3\r\ntwo\r\n0\r\nX-Sum: 7\r\n\r\n")
	for len(unread) > 0 {
		r, n, need, err := decoder.Decode(unread)
		if err != nil || need > 0 {
			fmt.Println(need, err)
			return
		}
		unread = unread[n:]
		fmt.Printf("%v %q %q\n", r.Part, r.Content, r.Trailer.Get("X-Sum"))
	}
	// Output:
	// first "" ""
	// middle "one," ""
	// middle "two" ""
	// last "" "7"
}
