package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Child is another process of this program. It gets orders as JSON values on its
// standard input and answers each with one on its standard output; the end of
// its input is its end.
type Child struct {
	cmd    *exec.Cmd
	orders *json.Encoder
	input  io.Closer
	answer *json.Decoder
}

// StartChild runs this program with args. It is killed when ctx ends.
func StartChild(ctx context.Context, args ...string) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this program
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Child{cmd: cmd, orders: json.NewEncoder(in), input: in, answer: json.NewDecoder(out)}, nil
}

// Reply is the form of a child's answers.
type Reply struct {
	Fault string          `json:",omitempty"`
	Value json.RawMessage `json:",omitempty"`
}

// Call gives an order and waits for the answer, a T.
func Call[T any](c *Child, order any) (answer T, err error) {
	if err := c.orders.Encode(order); err != nil {
		return answer, c.gone(err)
	}
	var r Reply
	if err := c.answer.Decode(&r); err != nil {
		return answer, c.gone(err)
	}
	if r.Fault != "" {
		return answer, errors.New(r.Fault)
	}
	return answer, json.Unmarshal(r.Value, &answer)
}

func (c *Child) gone(err error) error { return fmt.Errorf("%v does not answer: %w", c.cmd.Args, err) }

// Usage is what the child has used so far.
func (c *Child) Usage() (Usage, error) { return Read(c.cmd.Process.Pid) }

// Stop ends the child and waits for it, ten seconds at most.
func (c *Child) Stop() error {
	_ = c.input.Close()
	late := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	return c.cmd.Wait()
}

// Obey is the child's side: it carries out every order of type O from in until
// in ends.
func Obey[O any](in io.Reader, out io.Writer, do func(O) (any, error)) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var order O
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := answers.Encode(reply(do(order))); err != nil {
			return err
		}
	}
}

func reply(value any, err error) Reply {
	if err != nil {
		return Reply{Fault: err.Error()}
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return Reply{Fault: err.Error()}
	}
	return Reply{Value: raw}
}
