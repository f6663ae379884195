// Loadgen puts load on one unary gRPC method, or on one HTTP path, and says how it fared.
//
// It keeps a fixed number of calls in flight (a closed loop), each with the next request of a file,
// and speaks HTTP/2 frames itself, so that it takes a small part of a core and leaves the rest of a
// small machine to what is measured. It answers with one line of JSON.
package main

import (
	"encoding/json"
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
	address := flag.String("address", "", "host:port of the server, plaintext HTTP/2")
	method := flag.String("method", "", "full name, as /session.v1.SessionService/VerifyToken")
	plain := flag.String("http", "", "HTTP method, such as GET: -method is a path then, and messages are JSON; empty = gRPC")
	path := flag.String("requests", "", "file of requests, one a line: bearer token or empty, tab, message in base64")
	connections := flag.Int("connections", 4, "connections, among which the calls in flight are spread")
	inFlight := flag.Int("in-flight", 64, "calls in flight")
	calls := flag.Int("calls", 0, "calls to make at most, going around the file; 0 = no limit but -seconds")
	seconds := flag.Float64("seconds", 10, "seconds after which no call is begun")
	flag.Parse()

	// One thread is enough for any number of calls that two cores can serve.
	runtime.GOMAXPROCS(1)
	requests, err := readRequests(*path, *plain == "")
	if err != nil {
		fail(err)
	}
	work := &workload{requests: requests, calls: *calls, limit: time.Duration(*seconds * float64(time.Second))}
	outcomes, took, err := run(work, target{*address, *method, *plain}, *connections, *inFlight)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(summarise(outcomes, took)); err != nil {
		fail(err)
	}
}

// run makes all calls, over as many connections at once, and takes the time from the first call on.
func run(work *workload, what target, count, inFlight int) ([]outcome, time.Duration, error) {
	count = min(count, inFlight)
	open := make([]*connection, count)
	for i := range open {
		dialled, err := dial(what)
		if err != nil {
			return nil, 0, err
		}
		defer dialled.close()
		open[i] = dialled
	}
	outcomes, failures := make([]outcome, count), make([]error, count)
	started := time.Now()
	work.end = started.Add(work.limit)
	var group sync.WaitGroup
	for i, each := range open {
		share := inFlight / count
		if i < inFlight%count {
			share++
		}
		group.Add(1)
		go func() {
			defer group.Done()
			outcomes[i], failures[i] = each.drive(work, share)
		}()
	}
	group.Wait()
	took := time.Since(started)
	for _, err := range failures {
		if err != nil {
			return nil, 0, err
		}
	}
	return outcomes, took, nil
}

func summarise(outcomes []outcome, took time.Duration) report {
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
