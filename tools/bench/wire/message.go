package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MaxBody bounds a body that is read, in bytes.
const MaxBody = 16 << 20

// ErrMalformed is returned for bytes that are no message of this package's
// HTTP.
var ErrMalformed = errors.New("wire: malformed message")

// message is what requests and answers have in common. Its fields alias the
// reader's and the message's own buffers until the next read.
type message struct {
	first     []byte // request line or status line
	signature []byte // X-Hub-Signature-256
	body      []byte
	closing   bool // Connection: close
	head      []byte
}

// read reads one message. io.EOF says that the connection ended before it.
func (m *message) read(r *bufio.Reader) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	m.head = append(m.head[:0], line...)
	first := len(m.head)
	m.signature, m.closing = nil, false
	length := 0
	for {
		if line, err = readLine(r); err != nil {
			return cut(err)
		}
		if len(line) == 0 {
			break
		}
		if length, err = m.header(line, length); err != nil {
			return err
		}
	}
	m.first = m.head[:first]
	if length > MaxBody {
		return fmt.Errorf("%w: a body of %d bytes", ErrMalformed, length)
	}
	if cap(m.body) < length {
		m.body = make([]byte, length)
	}
	m.body = m.body[:length]
	_, err = io.ReadFull(r, m.body)
	return cut(err)
}

// header takes in one header line and returns the length of the body as known
// so far.
func (m *message) header(line []byte, length int) (int, error) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return 0, fmt.Errorf("%w: header %q", ErrMalformed, line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case is(name, "content-length"):
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%w: length %q", ErrMalformed, value)
		}
		return int(n), nil
	case is(name, "transfer-encoding"):
		return 0, fmt.Errorf("%w: transfer encoding %q", ErrMalformed, value)
	case is(name, "x-hub-signature-256"):
		from := len(m.head)
		m.head = append(m.head, value...)
		m.signature = m.head[from:]
	case is(name, "connection"):
		m.closing = is(value, "close")
	}
	return length, nil
}

func is(b []byte, name string) bool {
	return len(b) == len(name) && strings.EqualFold(string(b), name)
}

// readLine returns a line without its end; it is valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrMalformed, len(line))
	}
	if err != nil {
		if len(line) > 0 {
			err = cut(err)
		}
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// cut turns the end of a stream inside a message into an error that says so.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
