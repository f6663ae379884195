package main

import (
	"context"
	"math"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "session-service/build/go/session/v1"
)

const (
	username = "zoë"
	password = "correct horse battery"
)

var background = context.Background()

// served goes through a login's life, then through what the wire can do.
func served(connection *grpc.ClientConn, key string) {
	admin := metadata.AppendToOutgoingContext(background, "x-service-key", key)
	users(pb.NewAdminServiceClient(connection), admin)
	sessions := pb.NewSessionServiceClient(connection)
	refusedLogins(sessions)
	login := logIn(sessions)
	use(sessions, login)
	wire(connection, login.AccessToken)
	end(sessions, login)
	throttled(sessions)
	stats(pb.NewAdminServiceClient(connection), admin)
}

func bearer(token string) context.Context {
	return metadata.AppendToOutgoingContext(background, "authorization", "Bearer "+token)
}

func users(service pb.AdminServiceClient, admin context.Context) {
	user := &pb.CreateUserRequest{
		Username:   username,
		Credential: &pb.CreateUserRequest_Password{Password: password},
		Roles:      []string{"reader", "writer"},
	}
	created, err := service.CreateUser(admin, user)
	report("create user", err, facts{
		"username": created.GetUser().GetUsername(),
		"roles":    created.GetUser().GetRoles(),
		"created":  created.GetUser().GetCreatedTime().IsValid(),
	})
	_, err = service.CreateUser(admin, user)
	report("create user again", err, nil)
	_, err = service.GetStats(background, &pb.GetStatsRequest{})
	report("operator without a key", err, nil)
}

func refusedLogins(service pb.SessionServiceClient) {
	_, err := service.Login(background, &pb.LoginRequest{Username: username, Password: "wrong"})
	report("login with a wrong password", err, nil)
	_, err = service.Login(background, &pb.LoginRequest{
		Username: "a b",
		Device:   &pb.DeviceInfo{IpAddress: "nowhere"},
	})
	report("login with bad fields", err, nil)
}

func logIn(service pb.SessionServiceClient) *pb.LoginResponse {
	login, err := service.Login(background, &pb.LoginRequest{
		Username: username,
		Password: password,
		Device:   &pb.DeviceInfo{DeviceId: "d-1", Name: "Büro 🖥"},
	})
	must(err)
	report("login", err, facts{
		"token_type":    login.TokenType,
		"expires_in":    login.ExpiresIn,
		"session_hours": math.Round(time.Until(login.SessionExpireTime.AsTime()).Hours()),
		"username":      login.User.Username,
		"roles":         login.User.Roles,
		"new_device":    login.NewDevice,
	})
	return login
}

func use(service pb.SessionServiceClient, login *pb.LoginResponse) {
	checked, err := service.VerifyToken(bearer(login.AccessToken), &pb.VerifyTokenRequest{})
	report("check by metadata", err, facts{
		"username":     checked.GetUsername(),
		"roles":        checked.GetRoles(),
		"same_session": checked.GetSessionId() == login.SessionId,
	})
	checked, err = service.VerifyToken(background, &pb.VerifyTokenRequest{Token: login.AccessToken})
	report("check by field", err, facts{"same_user": checked.GetUserId() == login.User.UserId})
	list, err := service.ListSessions(bearer(login.AccessToken), &pb.ListSessionsRequest{})
	devices := []facts{}
	for _, each := range list.GetSessions() {
		devices = append(devices, facts{
			"id": each.Device.DeviceId, "name": each.Device.Name, "current": each.Current,
		})
	}
	report("list", err, facts{"total_size": list.GetTotalSize(), "devices": devices})
	_, err = service.Login(background, &pb.LoginRequest{Username: username, Password: password})
	report("login over the limit", err, nil)
	_, err = service.RevokeSession(bearer(login.AccessToken), &pb.RevokeSessionRequest{SessionId: "AAAAAAAAAAAAAAAAAAAAAA"})
	report("revoke a session that is not there", err, nil)
	refreshed, err := service.RefreshToken(background, &pb.RefreshTokenRequest{RefreshToken: login.RefreshToken})
	report("refresh", err, facts{
		"same_session": refreshed.GetSessionId() == login.SessionId,
		"new_token":    refreshed.GetAccessToken() != login.AccessToken,
	})
}

func end(service pb.SessionServiceClient, login *pb.LoginResponse) {
	_, err := service.Logout(bearer(login.AccessToken), &pb.LogoutRequest{})
	report("logout", err, nil)
	_, err = service.VerifyToken(bearer(login.AccessToken), &pb.VerifyTokenRequest{})
	report("check after logout", err, nil)
	_, err = service.RefreshToken(background, &pb.RefreshTokenRequest{RefreshToken: login.RefreshToken})
	report("refresh after logout", err, nil)
	_, err = service.VerifyToken(background, &pb.VerifyTokenRequest{})
	report("check without a token", err, nil)
	_, err = service.VerifyToken(background, &pb.VerifyTokenRequest{Token: "nonsense"})
	report("check of nonsense", err, nil)
}

// throttled guesses until the service has had enough, which it has after two (as configured).
func throttled(service pb.SessionServiceClient) {
	for attempt := 1; attempt <= 3; attempt++ {
		_, err := service.Login(background, &pb.LoginRequest{Username: "nobody", Password: "guess"})
		report("guess "+strconv.Itoa(attempt), err, nil)
	}
}

// stats reads 64-bit numbers; a session is counted a moment after it has begun.
func stats(service pb.AdminServiceClient, admin context.Context) {
	answer, err := service.GetStats(admin, &pb.GetStatsRequest{})
	for err == nil && answer.CreatedSessions == 0 {
		answer, err = service.GetStats(admin, &pb.GetStatsRequest{})
	}
	report("stats", err, facts{"users": answer.GetUsers(), "counted": answer.GetCreatedSessions() > 0})
}
