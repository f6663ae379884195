package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// A message leaves in one frame, whose size every server takes (RFC 9113 §4.2).
const longestMessage = 16_384 - 5

// A request is what one call sends.
type request struct {
	bearer  string // for the metadata authorization; empty = none
	message []byte // of gRPC as it is framed: a flag, a length of four bytes, the protobuf message
}

// readRequests reads a file of requests, one a line: bearer token or empty, tab, message in base64.
func readRequests(path string, framed bool) ([]request, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var requests []request
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		token, encoded, found := bytes.Cut(lines.Bytes(), []byte("\t"))
		message, err := base64.StdEncoding.DecodeString(string(encoded))
		if !found || err != nil || len(message) > longestMessage {
			return nil, fmt.Errorf("%s:%d: not a request, or a long one", path, len(requests)+1)
		}
		if framed {
			prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
			message = append(prefix, message...)
		}
		requests = append(requests, request{string(token), message})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s holds no request", path)
	}
	return requests, nil
}

// A workload deals requests out to all connections, around and around, until its end.
type workload struct {
	requests []request
	calls    int // 0 = no limit
	limit    time.Duration
	end      time.Time // set when the first call is about to begin
	begun    atomic.Int64
}

// next gives the next request, or nil when there are no more calls to begin.
func (w *workload) next(now time.Time) *request {
	number := int(w.begun.Add(1)) - 1
	if w.calls > 0 && number >= w.calls || now.After(w.end) {
		return nil
	}
	return &w.requests[number%len(w.requests)]
}
