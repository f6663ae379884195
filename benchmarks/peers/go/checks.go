package main

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "session-service/build/go/session/v1"
)

const (
	flushDelay = 20 * time.Microsecond // rueidis waits so long for further commands to share a write
	scheme     = "Bearer "
)

// connect opens a client whose commands share connections and writes.
func connect(socket string) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{socket},
		DialCtxFn: func(ctx context.Context, address string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", address)
		},
		MaxFlushDelay: flushDelay,
		DisableCache:  true,
	})
}

// checks answers whose token this is; each time by what Redis says now.
type checks struct {
	pb.UnimplementedSessionServiceServer
	tokens *tokens
	store  rueidis.Client
}

// VerifyToken checks strictly, whatever staleness the caller allows.
func (c *checks) VerifyToken(ctx context.Context, request *pb.VerifyTokenRequest) (*pb.VerifyTokenResponse, error) {
	token := request.GetToken()
	if token == "" {
		token = bearer(ctx)
	}
	if token == "" {
		return nil, tokenMissing
	}
	known, err := c.tokens.verify(token, c.store)
	if err != nil {
		return nil, err
	}
	replies := c.store.DoMulti(ctx, known.token, known.session)
	return answer(known, replies[0], replies[1])
}

func bearer(ctx context.Context) string {
	for _, value := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		if len(value) > len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) {
			return value[len(scheme):]
		}
	}
	return ""
}

// answer accepts a token if it and its session are alive and belong together.
func answer(known *verified, token, session rueidis.RedisResult) (*pb.VerifyTokenResponse, error) {
	owner, err := token.ToString()
	lapsed := rueidis.IsRedisNil(err)
	if err != nil && !lapsed {
		return nil, storeUnavailable
	}
	fields, err := session.AsStrSlice()
	if err != nil || len(fields) != 4 {
		return nil, storeUnavailable
	}
	username, roles, active, expires := fields[0], fields[1], fields[2], fields[3]
	if active == "" || expires == "" {
		return nil, sessionEnded
	}
	if lapsed && known.expires-time.Now().Unix() <= int64(leeway/time.Second) {
		return nil, tokenExpired
	}
	if owner != known.sessionID {
		return nil, sessionEnded
	}
	activeTime, err := instant(active)
	if err != nil {
		return nil, err
	}
	expireTime, err := instant(expires)
	if err != nil {
		return nil, err
	}
	return &pb.VerifyTokenResponse{
		SessionId:         known.sessionID,
		UserId:            known.userID,
		Username:          username,
		Roles:             strings.Fields(roles),
		TokenExpireTime:   &timestamppb.Timestamp{Seconds: known.expires},
		SessionExpireTime: expireTime,
		LastActiveTime:    activeTime,
	}, nil
}

// instant reads Unix milliseconds.
func instant(text string) (*timestamppb.Timestamp, error) {
	milliseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, internal
	}
	return &timestamppb.Timestamp{Seconds: milliseconds / 1000, Nanos: int32(milliseconds%1000) * 1_000_000}, nil
}
