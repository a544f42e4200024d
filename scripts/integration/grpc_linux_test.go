package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/tandem-io/tandem"
)

// calls is a server that answers with bytes that depend on the request's.
type calls struct {
	pb.UnimplementedTestServiceServer
	cancelled chan error // how the calls ended that their clients gave up
}

// UnaryCall returns the payload backwards.
func (c *calls) UnaryCall(_ context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s := r.GetResponseStatus(); s != nil {
		return nil, status.Error(codes.Code(s.GetCode()), s.GetMessage())
	}
	return &pb.SimpleResponse{Payload: &pb.Payload{Body: backwards(r.GetPayload().GetBody())}}, nil
}

// StreamingOutputCall sends a part of large for each size that the client has named.
func (c *calls) StreamingOutputCall(r *pb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for i, p := range r.GetResponseParameters() {
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: part(i, int(p.GetSize()))}}); err != nil {
			return err
		}
	}
	return nil
}

// StreamingInputCall checks the parts, and returns the sum of their sizes.
func (c *calls) StreamingInputCall(s grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	total := 0
	for i := 0; ; i++ {
		r, err := s.Recv()
		if err == io.EOF {
			return s.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(total)})
		}
		if err != nil {
			return err
		}
		p := r.GetPayload().GetBody()
		if !bytes.Equal(p, part(i, len(p))) {
			return status.Errorf(codes.DataLoss, "part %d has other bytes", i)
		}
		total += len(p)
	}
}

// FullDuplexCall returns each payload backwards.
func (c *calls) FullDuplexCall(s grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		r, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			if c.cancelled != nil {
				c.cancelled <- err
			}
			return err
		}
		if err := s.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: backwards(r.GetPayload().GetBody())}}); err != nil {
			return err
		}
	}
}

// part is what the i-th message of a stream carries.
func part(i, size int) []byte {
	at := i * 1013 % (len(large) / 2)
	return large[at : at+size]
}

func backwards(p []byte) []byte {
	q := make([]byte, len(p))
	for i, b := range p {
		q[len(p)-1-i] = b
	}
	return q
}

const maxMessage = 16 << 20

// serveGRPC serves over a listener. Its keep-alive is quick, and finds every Conn that does not answer.
func serveGRPC(t *testing.T, l net.Listener, s *calls, o ...grpc.ServerOption) *grpc.Server {
	t.Helper()
	server := grpc.NewServer(append(o, grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: patience}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}))...)
	pb.RegisterTestServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.GracefulStop()
		assert.NoError(t, receive(t, "the end of Serve", served))
	})
	return server
}

// clientGRPC is a client that dials by a function; nil: as gRPC does itself.
func clientGRPC(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error), address string, c credentials.TransportCredentials) pb.TestServiceClient {
	t.Helper()
	o := []grpc.DialOption{
		grpc.WithTransportCredentials(c),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}
	if dial != nil {
		o = append(o, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, o...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return pb.NewTestServiceClient(conn)
}

// TestGRPC has calls of all kinds go between a client over DialConn and a server over ListenConn, with TLS and without,
// and between one of them and one over package net.
func TestGRPC(t *testing.T) {
	id := newIdentity(t)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		theirs, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ours, secure := listen(t, tr), listen(t, tr)
		serveGRPC(t, theirs, &calls{})
		serveGRPC(t, ours, &calls{})
		serveGRPC(t, secure, &calls{}, grpc.Creds(credentials.NewTLS(id.config.Clone())))
		for _, k := range []struct {
			name, address string
			dial          func(ctx context.Context, network, address string) (net.Conn, error)
			creds         credentials.TransportCredentials
		}{
			{"both", ours.Addr().String(), dialer(tr), insecure.NewCredentials()},
			{"both, TLS", secure.Addr().String(), dialer(tr), credentials.NewTLS(id.trust.Clone())},
			{"to net", theirs.Addr().String(), dialer(tr), insecure.NewCredentials()},
			{"from net", ours.Addr().String(), nil, insecure.NewCredentials()},
		} {
			t.Run(k.name, func(t *testing.T) {
				c := clientGRPC(t, k.dial, k.address, k.creds)
				var all sync.WaitGroup
				for _, call := range []func(t *testing.T, c pb.TestServiceClient){unary, fromServer, fromClient, bothWays} {
					all.Go(func() { call(t, c) })
				}
				all.Wait()
			})
		}
	})
}

func unary(t *testing.T, c pb.TestServiceClient) {
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for _, size := range []int{0, 1, 100, 20_000 + i} {
				p := part(i, size)
				res, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: &pb.Payload{Body: p}})
				if assert.NoError(t, err) {
					sameBytes(t, backwards(p), res.GetPayload().GetBody(), fmt.Sprintf("a call of %d bytes", size))
				}
			}
		})
	}
	all.Wait()
	res, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: &pb.Payload{Body: large}})
	if assert.NoError(t, err) {
		sameBytes(t, backwards(large), res.GetPayload().GetBody(), "a call of 10 MB")
	}
	_, err = c.UnaryCall(t.Context(), &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.OutOfRange), Message: "too far"}})
	assert.Equal(t, "rpc error: code = OutOfRange desc = too far", err.Error())
	_, err = c.UnaryCall(t.Context(), &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, maxMessage)}})
	assert.Equal(t, codes.ResourceExhausted, status.Code(err), "a message that is too large: %v", err)
	_, err = c.EmptyCall(t.Context(), &pb.Empty{})
	assert.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
}

func fromServer(t *testing.T, c pb.TestServiceClient) {
	r := &pb.StreamingOutputCallRequest{}
	for i := range 200 {
		r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: int32(i * 200)})
	}
	s, err := c.StreamingOutputCall(t.Context(), r)
	if !assert.NoError(t, err) {
		return
	}
	for i, p := range r.ResponseParameters {
		m, err := s.Recv()
		if !assert.NoError(t, err) {
			return
		}
		sameBytes(t, part(i, int(p.Size)), m.GetPayload().GetBody(), "a message from the server")
	}
	_, err = s.Recv()
	assert.Equal(t, io.EOF, err)
}

func fromClient(t *testing.T, c pb.TestServiceClient) {
	s, err := c.StreamingInputCall(t.Context())
	if !assert.NoError(t, err) {
		return
	}
	total := 0
	for i := range 200 {
		p := part(i, i*200)
		assert.NoError(t, s.Send(&pb.StreamingInputCallRequest{Payload: &pb.Payload{Body: p}}))
		total += len(p)
	}
	res, err := s.CloseAndRecv()
	if assert.NoError(t, err) {
		assert.EqualValues(t, total, res.GetAggregatedPayloadSize())
	}
}

func bothWays(t *testing.T, c pb.TestServiceClient) {
	s, err := c.FullDuplexCall(t.Context())
	if !assert.NoError(t, err) {
		return
	}
	for i := range 200 { // in turn
		over(t, s, i, i*50)
	}
	go func() { // and all at once
		for i := range 200 {
			assert.NoError(t, s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: part(i, 20_000)}}))
		}
		assert.NoError(t, s.CloseSend())
	}()
	for i := range 200 {
		m, err := s.Recv()
		if !assert.NoError(t, err) {
			return
		}
		sameBytes(t, backwards(part(i, 20_000)), m.GetPayload().GetBody(), "a message back")
	}
	_, err = s.Recv()
	assert.Equal(t, io.EOF, err)
}

// over sends a message and waits for its answer.
func over(t *testing.T, s pb.TestService_FullDuplexCallClient, i, size int) {
	assert.NoError(t, s.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: part(i, size)}}))
	m, err := s.Recv()
	if assert.NoError(t, err) {
		sameBytes(t, backwards(part(i, size)), m.GetPayload().GetBody(), "a message over and back")
	}
}

// TestGRPCEnds has clients cancel calls, deadlines pass, idle connections live by keep-alive, and the server go away.
func TestGRPCEnds(t *testing.T) {
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l := listen(t, tr)
		service := &calls{cancelled: make(chan error, 10)}
		server := serveGRPC(t, l, service)
		c := clientGRPC(t, dialer(tr), l.Addr().String(), insecure.NewCredentials())
		for name, end := range map[string]func() (context.Context, context.CancelFunc){
			"Canceled": func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
			"DeadlineExceeded": func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), 200*time.Millisecond)
			},
		} {
			ctx, cancel := end()
			s, err := c.FullDuplexCall(ctx)
			require.NoError(t, err)
			over(t, s, 1, 1000)
			if name == "Canceled" {
				cancel()
			}
			_, err = s.Recv()
			require.Equal(t, name, status.Code(err).String(), "%v", err)
			require.Error(t, receive(t, "the end of the call at the server", service.cancelled))
			cancel()
		}
		s, err := c.FullDuplexCall(t.Context())
		require.NoError(t, err)
		over(t, s, 1, 1000)
		quiet := func() uint64 { // the bytes so far; a tenth of a second later there may be more
			in := tr.Stats().Conns.BytesIn
			time.Sleep(100 * time.Millisecond)
			return in
		}
		before := quiet()
		until(t, "silence", func() bool {
			last := before
			before = quiet()
			return before == last
		})
		until(t, "a ping of the keep-alive and its answer", func() bool {
			return tr.Stats().Conns.BytesIn >= before+2*17 // a ping frame has 17 bytes
		})
		over(t, s, 2, 1000)
		require.EqualValues(t, 2, tr.Stats().Conns.Opened, "both ends of the one connection")
		server.Stop()
		_, err = s.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		require.False(t, errors.Is(err, io.EOF))
	})
}
