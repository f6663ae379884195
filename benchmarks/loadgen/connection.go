package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/url"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	patience     = 30 * time.Second // without a frame from the server, that is
	streamWindow = 1 << 20
	topUp        = 1 << 29 // response bytes after which the server may send as many more
)

// An outcome is what the calls of one connection came to.
type outcome struct {
	latencies    []time.Duration
	statuses     map[string]int // gRPC status codes but 0, or what HTTP/2 said instead
	firstFailure string
}

// A call is one that is under way.
type call struct {
	started time.Time
	status  string
	message string
}

// A target is what is called.
type target struct {
	address string
	path    string // of a gRPC method, /service/method
	http    string // HTTP method; empty = gRPC
}

// A waiting message is to be sent on its stream.
type waiting struct {
	id   uint32
	what *request
}

// A connection keeps calls in flight. One goroutine both writes and reads: an answer is what starts
// the next call, and what it starts leaves in one write with what the other answers at hand start.
type connection struct {
	socket  net.Conn
	reader  *bufio.Reader
	writer  *bufio.Writer
	framer  *http2.Framer
	fields  *hpack.Encoder
	block   bytes.Buffer // what fields writes to
	decoder *hpack.Decoder

	target     target
	nextStream uint32
	calls      map[uint32]*call
	ending     *call     // whose header fields are being decoded
	waiting    []waiting // begun, their messages held back by the server's window
	window     int       // bytes that the server will still take
	received   uint32    // bytes since the last top-up
	outcome    outcome
}

// dial opens a connection with prior knowledge of HTTP/2 (RFC 9113 §3.3).
func dial(what target) (*connection, error) {
	socket, err := net.DialTimeout("tcp", what.address, patience)
	if err != nil {
		return nil, err
	}
	c := &connection{
		socket:     socket,
		reader:     bufio.NewReaderSize(socket, 1<<16),
		writer:     bufio.NewWriterSize(socket, 1<<16),
		target:     what,
		nextStream: 1,
		calls:      map[uint32]*call{},
		window:     65_535, // RFC 9113 §6.9.2
		outcome:    outcome{statuses: map[string]int{}},
	}
	c.framer = http2.NewFramer(c.writer, c.reader)
	c.framer.SetReuseFrames()
	c.fields = hpack.NewEncoder(&c.block)
	c.decoder = hpack.NewDecoder(4096, c.note)
	if _, err := c.writer.WriteString(http2.ClientPreface); err != nil {
		return nil, err
	}
	if err := c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow}); err != nil {
		return nil, err
	}
	return c, c.framer.WriteWindowUpdate(0, topUp*2-65_535-1)
}

func (c *connection) close() { c.socket.Close() }

// drive makes calls until the workload has no more, share of them at once.
func (c *connection) drive(work *workload, share int) (outcome, error) {
	for range share {
		if err := c.begin(work); err != nil {
			return c.outcome, err
		}
	}
	for len(c.calls) > 0 {
		if c.reader.Buffered() == 0 {
			if err := c.flush(); err != nil {
				return c.outcome, err
			}
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return c.outcome, fmt.Errorf("%d calls in flight: %w", len(c.calls), err)
		}
		if err := c.take(frame, work); err != nil {
			return c.outcome, err
		}
	}
	return c.outcome, nil
}

func (c *connection) flush() error {
	if err := c.socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return c.writer.Flush()
}

// begin starts the next call, if there is one.
func (c *connection) begin(work *workload) error {
	now := time.Now()
	next := work.next(now)
	if next == nil {
		return nil
	}
	id := c.nextStream
	c.nextStream += 2
	c.calls[id] = &call{started: now}
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      id,
		BlockFragment: c.header(next.bearer),
		EndHeaders:    true,
		EndStream:     len(next.message) == 0,
	})
	if err != nil || len(next.message) == 0 {
		return err
	}
	return c.send(id, next)
}

// header encodes as gRPC's own clients do: what all calls share gets into the table, a token never.
func (c *connection) header(bearer string) []byte {
	c.block.Reset()
	method, contentType := "POST", "application/grpc"
	if c.target.http != "" {
		method, contentType = c.target.http, "application/json"
	}
	for _, field := range [...]hpack.HeaderField{
		{Name: ":method", Value: method},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: c.target.path},
		{Name: ":authority", Value: c.target.address},
		{Name: "te", Value: "trailers"},
		{Name: "content-type", Value: contentType},
		{Name: "user-agent", Value: "loadgen"},
	} {
		c.fields.WriteField(field) // into a buffer, which takes everything
	}
	if bearer != "" {
		c.fields.WriteField(hpack.HeaderField{Name: "authorization", Value: "Bearer " + bearer, Sensitive: true})
	}
	return c.block.Bytes()
}

// send sends a call's message, or keeps it until the server takes more.
func (c *connection) send(id uint32, what *request) error {
	if len(what.message) > c.window {
		c.waiting = append(c.waiting, waiting{id, what})
		return nil
	}
	c.window -= len(what.message)
	return c.framer.WriteData(id, true, what.message)
}

func (c *connection) sendWaiting() error {
	held := c.waiting
	c.waiting = nil
	for _, each := range held {
		if c.calls[each.id] == nil {
			continue
		}
		if err := c.send(each.id, each.what); err != nil {
			return err
		}
	}
	return nil
}

// take does what a frame of the server demands.
func (c *connection) take(frame http2.Frame, work *workload) error {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		return c.takeHeaders(frame, work)
	case *http2.DataFrame:
		return c.takeData(frame, work)
	case *http2.RSTStreamFrame:
		if reset := c.calls[frame.StreamID]; reset != nil {
			reset.status = frame.ErrCode.String()
			return c.end(frame.StreamID, work)
		}
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.window += int(frame.Increment)
			return c.sendWaiting()
		}
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			return c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			return c.framer.WritePing(true, frame.Data)
		}
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server goes away: %v %s", frame.ErrCode, frame.DebugData())
	}
	return nil
}

// takeHeaders reads the fields before a message, or those after it that say how the call went.
func (c *connection) takeHeaders(frame *http2.HeadersFrame, work *workload) error {
	if !frame.HeadersEnded() {
		return fmt.Errorf("header fields in several frames, which no answer here needs")
	}
	c.ending = c.calls[frame.StreamID]
	if _, err := c.decoder.Write(frame.HeaderBlockFragment()); err != nil {
		return err
	}
	if err := c.decoder.Close(); err != nil {
		return err
	}
	if frame.StreamEnded() {
		return c.end(frame.StreamID, work)
	}
	return nil
}

func (c *connection) takeData(frame *http2.DataFrame, work *workload) error {
	c.received += frame.Length
	if c.received >= topUp {
		received := c.received
		c.received = 0
		if err := c.framer.WriteWindowUpdate(0, received); err != nil {
			return err
		}
	}
	if frame.StreamEnded() {
		return c.end(frame.StreamID, work)
	}
	return nil
}

// note is told of each header field as it is decoded.
func (c *connection) note(field hpack.HeaderField) {
	switch field.Name {
	case ":status":
		if c.target.http != "" && field.Value == "200" {
			c.ending.status = "0"
		} else if field.Value != "200" {
			c.ending.status = "HTTP " + field.Value
		}
	case "grpc-status":
		c.ending.status = field.Value
	case "grpc-message":
		c.ending.message = field.Value
	}
}

// end counts a call that is over and begins the next.
func (c *connection) end(id uint32, work *workload) error {
	ended := c.calls[id]
	delete(c.calls, id)
	if ended.status == "0" {
		c.outcome.latencies = append(c.outcome.latencies, time.Since(ended.started))
		return c.begin(work)
	}
	c.outcome.statuses[ended.status]++
	if c.outcome.firstFailure == "" {
		message, _ := url.PathUnescape(ended.message)
		c.outcome.firstFailure = fmt.Sprintf("status %s: %s", ended.status, message)
	}
	return c.begin(work)
}
