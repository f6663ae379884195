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
	streamWindow = 1 << 20
	topUp        = 1 << 29 // response bytes after which the server may send as many more
)

// A call is one that is under way.
type call struct {
	from    time.Time
	status  string
	message string
}

// A waiting message is to be sent on its stream.
type waiting struct {
	id   uint32
	what *request
}

// An http2Connection carries any number of calls in frames of HTTP/2.
type http2Connection struct {
	conn    net.Conn
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

// newHTTP2 opens a connection with prior knowledge of HTTP/2 (RFC 9113 §3.3), or after ALPN.
func newHTTP2(conn net.Conn, what target) (*http2Connection, error) {
	c := &http2Connection{
		conn:       conn,
		reader:     bufio.NewReaderSize(conn, buffer),
		writer:     bufio.NewWriterSize(conn, buffer),
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

func (c *http2Connection) socket() net.Conn { return c.conn }
func (c *http2Connection) open() int        { return len(c.calls) }
func (c *http2Connection) buffered() bool   { return c.reader.Buffered() > 0 }
func (c *http2Connection) result() *outcome { return &c.outcome }

func (c *http2Connection) flush() error {
	if err := c.conn.SetDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	return c.writer.Flush()
}

// receive takes one frame.
func (c *http2Connection) receive() (int, error) {
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return 0, err
	}
	before := len(c.calls)
	err = c.take(frame)
	return before - len(c.calls), err
}

// begin writes a call's header fields, and its message as soon as the server takes it.
func (c *http2Connection) begin(what *request, from time.Time) error {
	id := c.nextStream
	c.nextStream += 2
	c.calls[id] = &call{from: from}
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      id,
		BlockFragment: c.header(what.bearer),
		EndHeaders:    true,
		EndStream:     len(what.message) == 0,
	})
	if err != nil || len(what.message) == 0 {
		return err
	}
	return c.send(id, what)
}

// header encodes as gRPC's own clients do: what all calls share gets into the table, a token never.
func (c *http2Connection) header(bearer string) []byte {
	c.block.Reset()
	method, contentType := "POST", "application/grpc"
	if c.target.http != "" {
		method, contentType = c.target.http, "application/json"
	}
	scheme := "http"
	if c.target.tls != nil {
		scheme = "https"
	}
	for _, field := range [...]hpack.HeaderField{
		{Name: ":method", Value: method},
		{Name: ":scheme", Value: scheme},
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
func (c *http2Connection) send(id uint32, what *request) error {
	if len(what.message) > c.window {
		c.waiting = append(c.waiting, waiting{id, what})
		return nil
	}
	c.window -= len(what.message)
	return c.framer.WriteData(id, true, what.message)
}

func (c *http2Connection) sendWaiting() error {
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
func (c *http2Connection) take(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		return c.takeHeaders(frame)
	case *http2.DataFrame:
		return c.takeData(frame)
	case *http2.RSTStreamFrame:
		if reset := c.calls[frame.StreamID]; reset != nil {
			reset.status = frame.ErrCode.String()
			return c.end(frame.StreamID)
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
func (c *http2Connection) takeHeaders(frame *http2.HeadersFrame) error {
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
		return c.end(frame.StreamID)
	}
	return nil
}

func (c *http2Connection) takeData(frame *http2.DataFrame) error {
	c.received += frame.Length
	if c.received >= topUp {
		received := c.received
		c.received = 0
		if err := c.framer.WriteWindowUpdate(0, received); err != nil {
			return err
		}
	}
	if frame.StreamEnded() {
		return c.end(frame.StreamID)
	}
	return nil
}

// note is told of each header field as it is decoded.
func (c *http2Connection) note(field hpack.HeaderField) {
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

// end counts a call that is over.
func (c *http2Connection) end(id uint32) error {
	ended := c.calls[id]
	if ended == nil {
		return fmt.Errorf("stream %d ends, which nobody opened", id)
	}
	delete(c.calls, id)
	message, _ := url.PathUnescape(ended.message)
	c.outcome.ended(ended.from, ended.status, message)
	return nil
}
