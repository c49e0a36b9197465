package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// childWord, as the first argument, makes this program one of its own
// children; the second says which.
const childWord = "child"

// runChild runs one of the processes around what is measured, until the end of
// its input.
func runChild(ctx context.Context, which string) int {
	var err error
	switch which {
	case "sink":
		err = runSink(ctx, os.Stdin, os.Stdout)
	case "load":
		var platform traffic.Platform
		err = proc.Obey(os.Stdin, os.Stdout, func(s traffic.LoadSpec) (any, error) { return platform.Load(ctx, s) })
	case "calls":
		err = proc.Obey(os.Stdin, os.Stdout, func(s traffic.CallSpec) (any, error) { return traffic.Call(ctx, s) })
	case "floor":
		err = runFloor(ctx, os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("unknown child %q", which)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "bench", which+":", err)
		return 1
	}
	return 0
}

// runSink is a sink: the first order is its specification, and the answer the
// callbacks of its apps.
func runSink(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	orders := json.NewDecoder(in)
	var spec traffic.SinkSpec
	if err := orders.Decode(&spec); err != nil {
		return err
	}
	ready, ended := make(chan *traffic.Sink, 1), make(chan error, 1)
	go func() { ended <- traffic.ServeSink(ctx, spec, func(s *traffic.Sink) { ready <- s }) }()
	var sink *traffic.Sink
	select {
	case err := <-ended:
		return err
	case sink = <-ready:
	}
	var callbacks []string
	for i := range spec.Apps {
		callbacks = append(callbacks, sink.Callback(i))
	}
	hello, err := json.Marshal(callbacks)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(proc.Reply{Value: hello}); err != nil {
		return err
	}
	// The decoder may hold the beginning of the next order already.
	rest := io.MultiReader(orders.Buffered(), in)
	err = proc.Obey(rest, out, func(o traffic.SinkOrder) (any, error) { return sink.Obey(ctx, o) })
	cancel()
	return errors.Join(err, <-ended)
}
