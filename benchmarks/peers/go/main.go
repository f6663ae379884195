// Command peer answers strict VerifyToken calls over the service's own Redis data, as a team that writes such
// a service by hand in Go would: benchmarks measure the service against it.
//
// It is written to be fast: grpc-go with stream workers, rueidis with automatic pipelining, golang-jwt with an
// LRU of verified tokens that also holds their ready Redis commands, a seldom garbage collector. It decides as
// the service does, and leaves out what a check rarely does: it does not record activity (the service does so
// once a minute for each session), and it has neither metrics nor an audit trail.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"google.golang.org/grpc"

	pb "session-service/build/go/session/v1"
)

const (
	gcPercent = 400
	// Handlers wait for Redis: as many workers as there are calls cost a quarter less than one for each core.
	streamWorkers = 128
	longestCall   = 64 << 10 // bytes of a request, as the service has it
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "host:port to serve on")
	socket := flag.String("redis", "", "path of Redis's unix socket")
	keys := flag.String("keys", "", "the service's key file")
	issuer := flag.String("issuer", "", "the claim iss")
	audience := flag.String("audience", "", "the claim aud")
	empty := flag.Bool("empty", false, "answer with an empty message, and look at nothing")
	flag.Parse()

	debug.SetGCPercent(gcPercent)
	if err := serve(*listen, *empty, *socket, *keys, *issuer, *audience); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func serve(listen string, empty bool, socket, keys, issuer, audience string) error {
	var service pb.SessionServiceServer = &emptyService{}
	if !empty {
		tokens, err := newTokens(keys, issuer, audience)
		if err != nil {
			return err
		}
		store, err := connect(socket)
		if err != nil {
			return err
		}
		defer store.Close()
		service = &checks{tokens: tokens, store: store}
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxRecvMsgSize(longestCall),
		grpc.SharedWriteBuffer(true),
	)
	pb.RegisterSessionServiceServer(server, service)
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(stopped, server.Stop)
	// The line by which the benchmarks know a server that serves.
	line := map[string]string{"event": "serving", "address": listener.Addr().String()}
	if err := json.NewEncoder(os.Stderr).Encode(line); err != nil {
		return err
	}
	return server.Serve(listener)
}

// An emptyService is the baseline: what grpc-go costs by itself.
type emptyService struct {
	pb.UnimplementedSessionServiceServer
}

func (*emptyService) VerifyToken(context.Context, *pb.VerifyTokenRequest) (*pb.VerifyTokenResponse, error) {
	return &pb.VerifyTokenResponse{}, nil
}
