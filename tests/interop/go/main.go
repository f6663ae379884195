// Command client calls a running session-service as any program in Go would, and prints a transcript:
// one JSON object per case, with nothing in it that differs between runs. The programs in the other
// languages print the same.
//
//	client served <address> <service key>
//	client stalled <address> <access token>     while the service waits for its store
package main

import (
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: client served|stalled <address> <credential>")
		os.Exit(2)
	}
	connection, err := grpc.NewClient(os.Args[2], grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer connection.Close()
	switch os.Args[1] {
	case "served":
		served(connection, os.Args[3])
	case "stalled":
		stalled(connection, os.Args[3])
	}
}
