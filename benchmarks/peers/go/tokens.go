package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/rueidis"
)

const (
	remembered   = 32_768 // verified tokens, as many as the service remembers
	leeway       = 5 * time.Second
	longestToken = 4096
	tokenType    = "at+jwt"
)

// A verified token: what it says, and the commands that read its session, used again and again.
type verified struct {
	userID, sessionID string
	expires           int64 // Unix seconds
	token, session    rueidis.Completed
}

// claims of an access token beyond those that golang-jwt knows.
type claims struct {
	SessionID string `json:"sid"`
	jwt.RegisteredClaims
}

// tokens verifies access tokens and remembers those that it has verified.
type tokens struct {
	keys   map[string][]byte
	parser *jwt.Parser
	known  *lru.Cache[string, *verified]
}

// newTokens reads the service's key file, of which the peer understands HS256.
func newTokens(path, issuer, audience string) (*tokens, error) {
	keys, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	known, err := lru.New[string, *verified](remembered)
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
	)
	return &tokens{keys, parser, known}, nil
}

func readKeys(path string) (map[string][]byte, error) {
	var document struct {
		Access struct {
			Keys []struct{ Kid, Alg, K string }
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	keys := map[string][]byte{}
	for _, each := range document.Access.Keys {
		secret, err := base64.RawURLEncoding.DecodeString(each.K)
		if each.Alg != "HS256" || err != nil {
			return nil, fmt.Errorf("%s: key %q is no HS256 key", path, each.Kid)
		}
		keys[each.Kid] = secret
	}
	return keys, nil
}

// verify gives what a token says; whether it has expired is looked at each time.
func (t *tokens) verify(token string, store rueidis.Client) (*verified, error) {
	found, ok := t.known.Get(token)
	if !ok {
		var err error
		if found, err = t.parse(token, store); err != nil {
			return nil, tokenInvalid
		}
		t.known.Add(token, found)
	}
	if found.expires <= time.Now().Unix() {
		return nil, tokenExpired
	}
	return found, nil
}

func (t *tokens) parse(token string, store rueidis.Client) (*verified, error) {
	if len(token) > longestToken {
		return nil, errors.New("too long")
	}
	var said claims
	_, err := t.parser.ParseWithClaims(token, &said, t.key)
	// The service lets an expired token pass to here, to tell it from one that is not valid.
	if err != nil && !errors.Is(err, jwt.ErrTokenExpired) {
		return nil, err
	}
	if said.Subject == "" || said.SessionID == "" || said.ID == "" || said.NotBefore == nil || said.IssuedAt == nil {
		return nil, errors.New("a claim is missing")
	}
	tag := "{" + said.Subject + "}:"
	return &verified{
		userID:    said.Subject,
		sessionID: said.SessionID,
		expires:   said.ExpiresAt.Unix(),
		token:     store.B().Get().Key("token:" + tag + said.ID).Build().Pin(),
		session: store.B().Hmget().Key("user_session:"+tag+said.SessionID).
			Field("username", "roles", "last_active", "expires_at").Build().Pin(),
	}, nil
}

// key gives the key of a header that says exactly what the service writes.
func (t *tokens) key(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	key, ok := t.keys[kid]
	if !ok || token.Header["typ"] != tokenType || len(token.Header) != 3 {
		return nil, errors.New("not a header of the service's")
	}
	return key, nil
}
