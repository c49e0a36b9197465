package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Client posts over one connection, one request at a time; not safe for
// concurrent use.
type Client struct {
	conn    net.Conn
	reader  *bufio.Reader
	answer  message
	out     []byte
	host    string
	timeout time.Duration
}

// Dial connects to host:port. The timeout bounds each exchange, from the first
// byte written to the last one read.
func Dial(ctx context.Context, host string, timeout time.Duration) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, reader: bufio.NewReaderSize(conn, 32<<10), host: host, timeout: timeout}, nil
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Post sends a JSON body and returns the status and body of the answer; the
// body is valid until the next call. An empty signature or authorization sends
// no such header. After an error the client is of no more use.
func (c *Client) Post(target, signature, authorization string, body []byte) (status int, answer []byte, err error) {
	b := append(c.out[:0], "POST "...)
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.host...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = appendHeader(b, "\r\nX-Hub-Signature-256: ", signature)
	b = appendHeader(b, "\r\nAuthorization: ", authorization)
	b = append(b, "\r\n\r\n"...)
	c.out = append(b, body...)
	return c.exchange()
}

func appendHeader(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return append(append(b, name...), value...)
}

func (c *Client) exchange() (int, []byte, error) {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, nil, err
	}
	if err := c.answer.read(c.reader); err != nil {
		return 0, nil, cut(err)
	}
	_, rest, _ := bytes.Cut(c.answer.first, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	status, err := strconv.Atoi(string(code))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: status line %q", ErrMalformed, c.answer.first)
	}
	return status, c.answer.body, nil
}
