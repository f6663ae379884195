package main

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What a call can fail with, in the service's own words; made once.
var (
	tokenMissing = refusal(codes.Unauthenticated, "TOKEN_MISSING",
		"no access token: send metadata 'authorization: Bearer <token>'")
	tokenInvalid     = refusal(codes.Unauthenticated, "TOKEN_INVALID", "the access token is not valid")
	tokenExpired     = refusal(codes.Unauthenticated, "TOKEN_EXPIRED", "the access token has expired")
	sessionEnded     = refusal(codes.Unauthenticated, "SESSION_ENDED", "the session has ended")
	internal         = refusal(codes.Internal, "INTERNAL", "internal error")
	storeUnavailable = refusal(codes.Unavailable, "STORE_UNAVAILABLE",
		"the session store is not available; nothing is known about the session",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
)

func refusal(code codes.Code, reason, message string, further ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: "session.v1"}
	made, err := status.New(code, message).WithDetails(append([]protoadapt.MessageV1{info}, further...)...)
	if err != nil {
		panic(err) // only for OK, or a detail that cannot be encoded
	}
	return made.Err()
}
