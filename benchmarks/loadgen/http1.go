package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// An http1Connection carries one call at a time by HTTP/1.1, and is kept open between them.
type http1Connection struct {
	conn    net.Conn
	reader  *bufio.Reader
	target  target
	pending []byte // what the next flush sends
	from    time.Time
	busy    bool
	outcome outcome
}

func newHTTP1(conn net.Conn, what target) *http1Connection {
	return &http1Connection{
		conn:    conn,
		reader:  bufio.NewReaderSize(conn, buffer),
		target:  what,
		outcome: outcome{statuses: map[string]int{}},
	}
}

func (c *http1Connection) socket() net.Conn { return c.conn }
func (c *http1Connection) buffered() bool   { return c.reader.Buffered() > 0 }
func (c *http1Connection) result() *outcome { return &c.outcome }

func (c *http1Connection) open() int {
	if c.busy {
		return 1
	}
	return 0
}

func (c *http1Connection) begin(what *request, from time.Time) error {
	if c.busy {
		return errors.New("a second call on a connection of HTTP/1.1")
	}
	c.busy, c.from = true, from
	b := append(c.pending[:0], c.target.http...)
	b = append(append(b, ' '), c.target.path...)
	b = append(append(b, " HTTP/1.1\r\nhost: "...), c.target.address...)
	b = append(b, "\r\nuser-agent: loadgen\r\n"...)
	if what.bearer != "" {
		b = append(append(append(b, "authorization: Bearer "...), what.bearer...), "\r\n"...)
	}
	if len(what.message) > 0 {
		b = append(b, "content-type: application/json\r\ncontent-length: "...)
		b = append(strconv.AppendInt(b, int64(len(what.message)), 10), "\r\n"...)
	}
	c.pending = append(append(b, "\r\n"...), what.message...)
	return nil
}

func (c *http1Connection) flush() error {
	if err := c.conn.SetDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err := c.conn.Write(c.pending)
	c.pending = c.pending[:0]
	return err
}

// receive reads one whole answer.
func (c *http1Connection) receive() (int, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("not an answer of HTTP/1.1: %q", line)
	}
	status := string(line[9:12])
	length, err := c.bodyLength()
	if err != nil {
		return 0, err
	}
	body, err := c.reader.Peek(min(length, 200))
	if err != nil {
		return 0, err
	}
	message := string(body)
	if _, err := c.reader.Discard(length); err != nil {
		return 0, err
	}
	c.busy = false
	if status == "200" {
		c.outcome.ended(c.from, "0", "")
	} else {
		c.outcome.ended(c.from, "HTTP "+status, message)
	}
	return 1, nil
}

// bodyLength reads the header fields, of which an answer to a load has no other framing than a length.
func (c *http1Connection) bodyLength() (int, error) {
	length := 0
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			return 0, errors.New("an answer in chunks, which no answer here needs")
		case bytes.EqualFold(name, []byte("connection")) && bytes.EqualFold(value, []byte("close")):
			return 0, errors.New("the server closes the connection")
		}
	}
}
