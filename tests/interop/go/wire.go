package main

import (
	"context"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	pb "session-service/build/go/session/v1"
)

const (
	atOnce    = 50
	soon      = 300 * time.Millisecond
	inFlight  = 100 * time.Millisecond
	sessionV1 = "session.v1.SessionService"
)

// wire is about the transport: each of its lines is the same on every engine of the service.
func wire(connection *grpc.ClientConn, token string) {
	sessions := pb.NewSessionServiceClient(connection)
	metadataValues(sessions, token)
	compressed(sessions, token)
	tooLarge(sessions)
	bytesAsTheyAre(connection)
	manyAtOnce(sessions, token)
	healthChecks(health.NewHealthClient(connection))
	healthWatches(health.NewHealthClient(connection))
	reflected(reflection.NewServerReflectionClient(connection))
}

func metadataValues(service pb.SessionServiceClient, token string) {
	ctx := metadata.AppendToOutgoingContext(bearer(token),
		"x-trace-bin", "\x00\xff\xfe", "x-trace-bin", "", "x-note", "plain")
	_, err := service.VerifyToken(ctx, &pb.VerifyTokenRequest{})
	report("binary metadata", err, nil)
}

func compressed(service pb.SessionServiceClient, token string) {
	_, err := service.VerifyToken(background, &pb.VerifyTokenRequest{Token: token}, grpc.UseCompressor(gzip.Name))
	report("gzip", err, nil)
	_, err = service.VerifyToken(
		background, &pb.VerifyTokenRequest{Token: strings.Repeat("x", 20_000)}, grpc.UseCompressor(gzip.Name))
	report("gzip of much", err, nil)
	_, err = service.VerifyToken(
		background, &pb.VerifyTokenRequest{Token: strings.Repeat("x", 1<<20)}, grpc.UseCompressor(gzip.Name))
	report("gzip of too much", err, nil)
}

func tooLarge(service pb.SessionServiceClient) {
	_, err := service.Login(background, &pb.LoginRequest{Username: strings.Repeat("x", 70_000)})
	report("message too large", err, nil)
}

// A raw codec sends bytes as they are.
type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (raw) Unmarshal([]byte, any) error   { return nil }

func bytesAsTheyAre(connection *grpc.ClientConn) {
	for _, each := range []struct {
		name, method string
		message      []byte
	}{
		{"no message", "/" + sessionV1 + "/Login", []byte("\xff\xff\xff")},
		{"unknown method", "/" + sessionV1 + "/NoSuch", nil},
		{"unknown service", "/no.Such/Method", nil},
	} {
		report(each.name, connection.Invoke(background, each.method, each.message, nil, grpc.ForceCodec(raw{})), nil)
	}
}

func manyAtOnce(service pb.SessionServiceClient, token string) {
	errs := make([]error, atOnce)
	var calls sync.WaitGroup
	for number := range errs {
		calls.Add(1)
		go func() {
			defer calls.Done()
			_, errs[number] = service.VerifyToken(background, &pb.VerifyTokenRequest{Token: token})
		}()
	}
	calls.Wait()
	codes := map[string]int{}
	for _, err := range errs {
		codes[codeOf(err)]++
	}
	report("many at once", nil, facts{"codes": codes})
}

func healthChecks(service health.HealthClient) {
	for _, name := range []string{"", sessionV1, "no.Such"} {
		answer, err := service.Check(background, &health.HealthCheckRequest{Service: name})
		var answered facts
		if err == nil {
			answered = facts{"status": answer.Status.String()}
		}
		report("health of '"+name+"'", err, answered)
	}
}

// healthWatches are streams that the server would never end.
func healthWatches(service health.HealthClient) {
	ctx, cancel := context.WithTimeout(background, soon)
	defer cancel()
	watch("watch until the deadline", service, ctx, sessionV1, func() {})
	ctx, cancel = context.WithCancel(background)
	watch("watch and cancel", service, ctx, sessionV1, cancel)
	ctx, cancel = context.WithCancel(background)
	watch("watch what is not there", service, ctx, "no.Such", cancel)
}

// watch reads states until the stream ends, and calls back at each.
func watch(name string, service health.HealthClient, ctx context.Context, watched string, callback func()) {
	stream, err := service.Watch(ctx, &health.HealthCheckRequest{Service: watched})
	must(err)
	states := []string{}
	for {
		answer, err := stream.Recv()
		if err != nil {
			report(name, err, facts{"states": states})
			return
		}
		states = append(states, answer.Status.String())
		callback()
	}
}

// reflected asks three questions on one stream, each once the one before is answered.
func reflected(service reflection.ServerReflectionClient) {
	stream, err := service.ServerReflectionInfo(background)
	must(err)
	ask := func(question *reflection.ServerReflectionRequest) *reflection.ServerReflectionResponse {
		must(stream.Send(question))
		answer, err := stream.Recv()
		must(err)
		return answer
	}
	list := ask(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_ListServices{},
	})
	services := []string{}
	for _, each := range list.GetListServicesResponse().Service {
		if strings.HasPrefix(each.Name, "session.") {
			services = append(services, each.Name)
		}
	}
	sort.Strings(services)
	file := ask(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: sessionV1},
	})
	unknown := ask(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "no.Such"},
	})
	must(stream.CloseSend())
	if _, err = stream.Recv(); err == io.EOF {
		err = nil
	}
	report("reflection", err, facts{
		"services": services,
		"files":    len(file.GetFileDescriptorResponse().FileDescriptorProto),
		"unknown":  unknown.GetErrorResponse().ErrorCode,
	})
}

// stalled calls a service that waits for its store: until the deadline, until given up, until it gives up.
func stalled(connection *grpc.ClientConn, token string) {
	service := pb.NewSessionServiceClient(connection)
	check := &pb.VerifyTokenRequest{Token: token}
	ctx, cancel := context.WithTimeout(background, soon)
	defer cancel()
	_, err := service.VerifyToken(ctx, check)
	report("deadline", err, nil)
	ctx, cancel = context.WithCancel(background)
	time.AfterFunc(inFlight, cancel)
	_, err = service.VerifyToken(ctx, check)
	report("cancel", err, nil)
	_, err = service.VerifyToken(background, check)
	report("store away", err, nil)
}
