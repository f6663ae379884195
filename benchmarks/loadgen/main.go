// Loadgen puts load on one unary gRPC method, or on one HTTP path, and says how it fared.
//
// It keeps a fixed number of calls in flight (a closed loop) or begins calls evenly (an open one), each with
// the next request of a file, and speaks HTTP/2 frames and HTTP/1.1 itself, so that it takes a small part of
// a core and leaves the rest of a small machine to what is measured. It prints one line of JSON.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// A report is what one run measured; latencies are those of the calls that went well.
type report struct {
	Calls        int            `json:"calls"`
	Failed       int            `json:"failed"`
	Statuses     map[string]int `json:"statuses"` // of failed calls
	FirstFailure string         `json:"first_failure"`
	Seconds      float64        `json:"seconds"`
	P50          float64        `json:"p50_us"`
	P99          float64        `json:"p99_us"`
	Longest      float64        `json:"longest_us"`
}

func main() {
	address := flag.String("address", "", "host:port of the server")
	method := flag.String("method", "", "full name, as /session.v1.SessionService/VerifyToken")
	plain := flag.String("http", "", "HTTP method, such as GET: -method is a path then, and messages are JSON; empty = gRPC")
	http1 := flag.Bool("http1", false, "HTTP/1.1, one call at a time on each connection, where -http is set")
	ca := flag.String("ca", "", "PEM file of the certificate that the server, localhost, is trusted by; empty = plain text")
	path := flag.String("requests", "", "file of requests, one a line: bearer token or empty, tab, message in base64")
	connections := flag.Int("connections", 4, "connections, among which the calls in flight are spread")
	inFlight := flag.Int("in-flight", 64, "calls in flight; with -rate, at most")
	rate := flag.Float64("rate", 0, "calls to begin each second, evenly; 0 = as -in-flight says")
	calls := flag.Int("calls", 0, "calls to make at most, going around the file; 0 = no limit but -seconds")
	seconds := flag.Float64("seconds", 10, "seconds after which no call is begun")
	flag.Parse()

	// One thread is enough for any number of calls that two cores can serve.
	runtime.GOMAXPROCS(1)
	requests, err := readRequests(*path, *plain == "")
	if err != nil {
		fail(err)
	}
	what := target{address: *address, path: *method, http: *plain, http1: *http1}
	if *ca != "" {
		if what.tls, err = trusting(*ca); err != nil {
			fail(err)
		}
	}
	work := &workload{requests: requests, calls: *calls, limit: time.Duration(*seconds * float64(time.Second))}
	outcomes, took, err := run(work, what, *connections, *inFlight, *rate)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(summarise(outcomes, took)); err != nil {
		fail(err)
	}
}

// run makes all calls and takes the time from the first one on.
func run(work *workload, what target, count, inFlight int, rate float64) ([]*outcome, time.Duration, error) {
	open := make([]carrier, min(count, inFlight))
	outcomes := make([]*outcome, len(open))
	for i := range open {
		dialled, err := dial(what)
		if err != nil {
			return nil, 0, err
		}
		defer dialled.socket().Close()
		open[i], outcomes[i] = dialled, dialled.result()
	}
	started := time.Now()
	work.end = started.Add(work.limit)
	var err error
	if rate > 0 {
		err = pace(open, work, rate, inFlight)
	} else {
		err = driveAll(open, work, inFlight)
	}
	return outcomes, time.Since(started), err
}

// driveAll keeps calls in flight on all connections at once.
func driveAll(open []carrier, work *workload, inFlight int) error {
	failures := make([]error, len(open))
	var group sync.WaitGroup
	for i, each := range open {
		share := inFlight / len(open)
		if i < inFlight%len(open) {
			share++
		}
		group.Go(func() { failures[i] = drive(each, work, share) })
	}
	group.Wait()
	return errors.Join(failures...)
}

func summarise(outcomes []*outcome, took time.Duration) report {
	sum := report{Statuses: map[string]int{}, Seconds: took.Seconds()}
	var latencies []time.Duration
	for _, each := range outcomes {
		latencies = append(latencies, each.latencies...)
		for status, count := range each.statuses {
			sum.Statuses[status] += count
			sum.Failed += count
		}
		if sum.FirstFailure == "" {
			sum.FirstFailure = each.firstFailure
		}
	}
	sum.Calls = len(latencies) + sum.Failed
	slices.Sort(latencies)
	sum.P50, sum.P99 = percentile(latencies, 0.50), percentile(latencies, 0.99)
	sum.Longest = percentile(latencies, 1)
	return sum
}

// percentile gives the smallest latency, in microseconds, that this share of the calls did not exceed.
func percentile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(share*float64(len(sorted))+0.999999) - 1
	return float64(sorted[max(rank, 0)]) / float64(time.Microsecond)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "loadgen:", err)
	os.Exit(1)
}
