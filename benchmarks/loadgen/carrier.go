package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	silence = 30 * time.Second // that a server may have nothing to say while calls are open
	buffer  = 1 << 16
)

// A target is what is called.
type target struct {
	address string
	path    string      // of a gRPC method, /service/method
	http    string      // HTTP method; empty = gRPC
	http1   bool        // HTTP/1.1 with one call at a time on a connection, not HTTP/2
	tls     *tls.Config // nil = plain text
}

// A carrier is a connection that carries calls. Only one goroutine uses it.
type carrier interface {
	// begin starts a call, whose latency counts from an instant on; it leaves with the next flush.
	begin(what *request, from time.Time) error
	// flush sends what was begun.
	flush() error
	// receive reads the next piece of what the server sent, and gives the number of calls that it ended.
	receive() (int, error)
	// buffered is whether more was read from the socket than receive has taken.
	buffered() bool
	// open is the number of calls under way.
	open() int
	// result is what the calls that are over came to.
	result() *outcome
	// socket is the connection itself.
	socket() net.Conn
}

// An outcome is what the calls of one connection came to.
type outcome struct {
	latencies    []time.Duration
	statuses     map[string]int // gRPC status codes but 0, or what HTTP said instead
	firstFailure string
}

// ended counts a call that is over.
func (o *outcome) ended(from time.Time, status, message string) {
	if status == "0" {
		o.latencies = append(o.latencies, time.Since(from))
		return
	}
	o.statuses[status]++
	if o.firstFailure == "" {
		o.firstFailure = fmt.Sprintf("status %s: %s", status, message)
	}
}

// dial opens a connection of the kind that the target asks for.
func dial(what target) (carrier, error) {
	socket, err := net.DialTimeout("tcp", what.address, silence)
	if err != nil {
		return nil, err
	}
	if what.tls != nil {
		socket = tls.Client(socket, what.tls)
	}
	if what.http1 {
		return newHTTP1(socket, what), nil
	}
	return newHTTP2(socket, what)
}

// trusting gives the TLS settings of a client that trusts the certificates of a PEM file.
func trusting(path string) (*tls.Config, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New(path + " holds no certificate")
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2"}}, nil
}

// drive keeps a number of calls open until the workload has no more: an answer starts the next call, and
// what it starts leaves in one write with what the other answers that are there start.
func drive(c carrier, work *workload, share int) error {
	if err := beginSome(c, work, share); err != nil {
		return err
	}
	for c.open() > 0 {
		if !c.buffered() {
			if err := c.flush(); err != nil {
				return err
			}
		}
		ended, err := c.receive()
		if err != nil {
			return fmt.Errorf("%d calls in flight: %w", c.open(), err)
		}
		if err := beginSome(c, work, ended); err != nil {
			return err
		}
	}
	return nil
}

func beginSome(c carrier, work *workload, count int) error {
	for range count {
		now := time.Now()
		next := work.next(now)
		if next == nil {
			return nil
		}
		if err := c.begin(next, now); err != nil {
			return err
		}
	}
	return nil
}
