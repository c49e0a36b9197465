package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/baton-router/baton/tools/bench/floor"
	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// floorOrder is what a floor process is told.
type floorOrder struct {
	// Do is serve bare, serve http, serve constant, serve appended, post,
	// append, publish or read.
	Do     string
	Posts  floor.Posts
	Size   int
	Dir    string
	For    time.Duration
	AtOnce int
}

// floorResult is what it did. Count is in events, appends or messages.
type floorResult struct {
	Host  string
	Count int
	Took  time.Duration
}

// floorProcess carries out the orders of a floor child.
type floorProcess struct {
	ctx     context.Context //nolint:containedctx // of the process
	serving chan error
	stream  *floor.Stream
}

// runFloor is a floor child.
func runFloor(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &floorProcess{ctx: ctx}
	err := proc.Obey(in, out, p.obey)
	cancel()
	if p.serving != nil {
		err = errors.Join(err, <-p.serving)
	}
	if p.stream != nil {
		err = errors.Join(err, p.stream.Close())
	}
	return err
}

func (p *floorProcess) obey(o floorOrder) (_ any, err error) {
	var r floorResult
	began := time.Now()
	switch o.Do {
	case "serve bare":
		r.Host, err = p.serve(signed(floor.ServeBare))
	case "serve http":
		r.Host, err = p.serve(signed(floor.ServeHTTP))
	case "serve constant":
		r.Host, err = p.serve(floor.ServeConstant)
	case "serve appended":
		r.Host, err = p.serve(func(ctx context.Context, ln net.Listener) error { return floor.ServeAppended(ctx, ln, o.Dir) })
	case "post":
		r.Count, err = floor.PostHTTP(p.ctx, o.Posts)
	case "append":
		r.Count, err = floor.Append(p.ctx, o.Dir, o.Size, o.For)
	case "open":
		p.stream, err = floor.OpenStream(p.ctx, o.Dir)
	case "publish":
		r.Count, err = p.stream.Publish(p.ctx, o.Size, o.AtOnce, o.For)
	case "read":
		r.Count, err = p.read(o.For)
	default:
		err = fmt.Errorf("floor: unknown order %q", o.Do)
	}
	r.Took = time.Since(began)
	return r, err
}

// read reads the stream from its beginning again and again for a while.
func (p *floorProcess) read(d time.Duration) (messages int, err error) {
	for until := time.Now().Add(d); err == nil && (messages == 0 || time.Now().Before(until)); {
		var n int
		n, err = p.stream.Read(p.ctx)
		messages += n
	}
	return messages, err
}

// signed is a server of webhooks with their secret.
func signed(serve func(context.Context, net.Listener, string) error) func(context.Context, net.Listener) error {
	return func(ctx context.Context, ln net.Listener) error { return serve(ctx, ln, appSecret) }
}

// serve starts a server on a free port and returns where.
func (p *floorProcess) serve(with func(context.Context, net.Listener) error) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(p.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	p.serving = make(chan error, 1)
	go func() { p.serving <- with(p.ctx, ln) }()
	return ln.Addr().String(), nil
}

// floors measures what the parts of a router allow at most.
func (b *bench) floors(ctx context.Context) error {
	for _, perPost := range []int{1, 20} {
		if err := b.floorHTTP(ctx, perPost); err != nil {
			return err
		}
	}
	for _, size := range []int{512, 16 << 10} {
		if err := b.floorDisk(ctx, size); err != nil {
			return err
		}
	}
	for _, events := range []int{1, 20} {
		if err := b.floorStream(ctx, events); err != nil {
			return err
		}
		b.sumOfParts(events)
	}
	return nil
}

// sumOfParts adds up what an event takes of well-kept libraries alone: it comes
// in by net/http, is written to a stream twice and read twice, as input and as
// log, and goes out by net/http to each subscriber. A machine is as slow as its
// sum: what Baton takes is judged over it.
func (b *bench) sumOfParts(perPost int) {
	sum := 0.0
	for name, times := range map[string]float64{
		"server net/http/%d per POST": 1, "client net/http/%d per POST": subscribers,
		"JetStream publish/%d per message": 2, "JetStream read/%d per message": 2,
	} {
		f := b.report.Figure("floors/" + fmt.Sprintf(name, perPost) + "/CPU per event")
		sum += times * f.Rounds[b.round]
	}
	b.note(fmt.Sprintf("floors/sum of the parts/%d together/CPU per event", perPost), report.Micros, sum)
}

// withFloor runs a floor child.
func withFloor(ctx context.Context, use func(*proc.Child) error) error {
	c, err := proc.StartChild(ctx, childWord, "floor")
	if err != nil {
		return err
	}
	return errors.Join(use(c), c.Stop())
}

// floorHTTP measures servers under a bare client, and net/http's client on a
// bare server.
func (b *bench) floorHTTP(ctx context.Context, perPost int) error {
	suffix := fmt.Sprintf("/%d per POST", perPost)
	for _, kind := range []string{"bare", "http"} {
		err := withFloor(ctx, func(server *proc.Child) error { return b.floorServer(ctx, server, kind, perPost, suffix) })
		if err != nil {
			return fmt.Errorf("%s server: %w", kind, err)
		}
	}
	return withFloor(ctx, func(server *proc.Child) error {
		at, err := proc.Call[floorResult](server, floorOrder{Do: "serve bare"})
		if err != nil {
			return err
		}
		return withFloor(ctx, func(client *proc.Child) error {
			posts := floor.Posts{URL: "http://" + at.Host + "/", Secret: appSecret, PerPost: perPost, Conns: connections, For: b.size.floor}
			return b.noteFloor("floors/client net/http"+suffix, client, floorOrder{Do: "post", Posts: posts}, 1)
		})
	})
}

func (b *bench) floorServer(ctx context.Context, server *proc.Child, kind string, perPost int, suffix string) error {
	at, err := proc.Call[floorResult](server, floorOrder{Do: "serve " + kind})
	if err != nil {
		return err
	}
	client, err := proc.StartChild(ctx, childWord, "load")
	if err != nil {
		return err
	}
	defer func() { _ = client.Stop() }()
	load := traffic.LoadSpec{Host: at.Host, Target: "/", Secret: appSecret, Page: page, Threads: 1600, For: b.size.floor, PerPost: perPost, Conns: connections}
	before, err1 := server.Usage()
	clientBefore, err2 := client.Usage()
	result, err3 := proc.Call[traffic.LoadResult](client, load)
	after, err4 := server.Usage()
	clientAfter, err5 := client.Usage()
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	events := int(result.Events)
	names := map[string]string{"bare": "floors/server bare", "http": "floors/server net/http"}
	b.note(names[kind]+suffix+"/events", report.PerSecond, perSecond(events, result.Took))
	b.note(names[kind]+suffix+"/CPU per event", report.Micros, perEvent(after.Since(before), events))
	if kind == "bare" {
		b.note("floors/client bare"+suffix+"/CPU per event", report.Micros, perEvent(clientAfter.Since(clientBefore), events))
	}
	return nil
}

// noteFloor carries out an order and notes its rate and CPU time; each of what
// it counts stands for some events.
func (b *bench) noteFloor(name string, c *proc.Child, o floorOrder, events int) error {
	before, err1 := c.Usage()
	r, err2 := proc.Call[floorResult](c, o)
	after, err3 := c.Usage()
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.note(name+"/events", report.PerSecond, perSecond(r.Count*events, r.Took))
	b.note(name+"/CPU per event", report.Micros, perEvent(after.Since(before), r.Count*events))
	return nil
}

func (b *bench) floorDisk(ctx context.Context, size int) error {
	return withFloor(ctx, func(c *proc.Child) error {
		o := floorOrder{Do: "append", Dir: b.options.out, Size: size, For: b.size.floor}
		r, err := proc.Call[floorResult](c, o)
		if err == nil {
			b.note(fmt.Sprintf("floors/synced append of %d B", size), report.PerSecond, perSecond(r.Count, r.Took))
		}
		return err
	})
}

// floorStream publishes and reads messages of one or several events.
func (b *bench) floorStream(ctx context.Context, events int) error {
	return withFloor(ctx, func(c *proc.Child) error {
		dir, err := filepath.Abs(b.options.out)
		if err != nil {
			return err
		}
		if _, err := proc.Call[json.RawMessage](c, floorOrder{Do: "open", Dir: dir}); err != nil {
			return err
		}
		name := fmt.Sprintf("floors/JetStream %%s/%d per message", events)
		publish := floorOrder{Do: "publish", Size: 450 * events, AtOnce: 64, For: b.size.floor}
		if err := b.noteFloor(fmt.Sprintf(name, "publish"), c, publish, events); err != nil {
			return err
		}
		return b.noteFloor(fmt.Sprintf(name, "read"), c, floorOrder{Do: "read", For: b.size.floor}, events)
	})
}
