package main

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// Facts are what a line says besides the case and the code.
type facts map[string]any

var transcript = json.NewEncoder(os.Stdout)

// report prints one line: how a call ended, and either what its answer said or what its error did.
func report(name string, err error, answer facts) {
	line := facts{"case": name, "code": codeOf(err)}
	if err != nil {
		addDetails(line, err)
	}
	for key, value := range answer {
		line[key] = value
	}
	must(transcript.Encode(line))
}

// codeOf gives a status code by the name that all languages share.
func codeOf(err error) string { return code.Code(status.Code(err)).String() }

// addDetails adds the rich details; an error without them has a text of the library's own, left out.
func addDetails(line facts, err error) {
	failed := status.Convert(err)
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			line["message"] = failed.Message()
			line["reason"] = detail.Reason
			line["domain"] = detail.Domain
			line["metadata"] = nonNil(detail.Metadata)
		case *errdetails.RetryInfo:
			line["retry_seconds"] = retrySeconds(detail.RetryDelay.AsDuration())
		case *errdetails.BadRequest:
			violations := [][]string{}
			for _, each := range detail.FieldViolations {
				violations = append(violations, []string{each.Field, each.Description})
			}
			line["violations"] = violations
		}
	}
}

// retrySeconds rounds what is over a minute up to full ones: it shrinks while the program runs.
func retrySeconds(delay time.Duration) float64 {
	if delay <= time.Minute {
		return delay.Seconds()
	}
	return math.Ceil(delay.Minutes()) * 60
}

func nonNil(metadata map[string]string) map[string]string {
	if metadata == nil {
		return map[string]string{}
	}
	return metadata
}

// must ends the program where what no case expects has gone wrong.
func must(errs ...error) {
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
}
