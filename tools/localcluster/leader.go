package localcluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// Leader is the name of the server that leads a stream; an error while none
// does.
func (c *Cluster) Leader(ctx context.Context, stream string) (string, error) {
	data, err := c.ask(ctx, "$JS.API.STREAM.INFO."+stream)
	if err != nil {
		return "", err
	}
	var info struct {
		Cluster struct {
			Leader string `json:"leader"`
		} `json:"cluster"`
	}
	if err := json.Unmarshal(data, &info); err != nil || info.Cluster.Leader == "" {
		return "", fmt.Errorf("stream %s has no leader: %w: %s", stream, err, data)
	}
	return info.Cluster.Leader, nil
}

// Followers reports whether all other servers follow the leader of a stream
// closely.
func (c *Cluster) Followers(ctx context.Context, stream string) (current bool, err error) {
	data, err := c.ask(ctx, "$JS.API.STREAM.INFO."+stream)
	if err != nil {
		return false, err
	}
	var info struct {
		Cluster struct {
			Replicas []struct {
				Current bool `json:"current"`
			} `json:"replicas"`
		} `json:"cluster"`
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return false, err
	}
	n := 0
	for _, r := range info.Cluster.Replicas {
		if r.Current {
			n++
		}
	}
	return n == Size-1, nil
}

// StepDown makes the leader of a stream give its office up to another server,
// as an operator does before a planned stop.
func (c *Cluster) StepDown(ctx context.Context, stream string) error {
	data, err := c.ask(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream)
	if err != nil {
		return err
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := json.Unmarshal(data, &answer); err != nil || !answer.Success {
		return fmt.Errorf("stream %s: no step down: %w: %s", stream, err, data)
	}
	return nil
}

// ask asks the first server that answers, past the links, in NATS's own words:
// the way of Baton is not to be used for what Baton does not do.
func (c *Cluster) ask(ctx context.Context, subject string) ([]byte, error) {
	var faults []error
	for url := range strings.SplitSeq(c.URL, ",") {
		data, err := askServer(ctx, strings.TrimPrefix(url, "nats://"), subject)
		if err == nil {
			return data, nil
		}
		faults = append(faults, err)
	}
	return nil, fmt.Errorf("ask %s: %w", subject, errors.Join(faults...))
}

func askServer(ctx context.Context, address, subject string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, dialFor)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := fmt.Fprintf(conn, "CONNECT {\"user\":\"baton\",\"pass\":%q,\"verbose\":false}\r\nSUB answer 1\r\nPUB %s answer 0\r\n\r\n", Password, subject); err != nil {
		return nil, err
	}
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "-ERR":
			return nil, errors.New(line)
		case "PING":
			if _, err := io.WriteString(conn, "PONG\r\n"); err != nil {
				return nil, err
			}
		case "MSG":
			return readMessage(r, rest)
		}
	}
}

// readMessage reads the body of a message whose line says how long it is.
func readMessage(r io.Reader, line string) ([]byte, error) {
	words := strings.Fields(line)
	var size int
	if _, err := fmt.Sscan(words[len(words)-1], &size); err != nil {
		return nil, fmt.Errorf("message %q: %w", line, err)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return bytes.TrimSpace(body), err
}
