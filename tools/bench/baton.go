package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
	"github.com/baton-router/baton/tools/bench/proc"
)

// startWithin bounds the start of a Baton, a restart with ten million threads
// included; stopWithin its end.
const (
	startWithin = 3 * time.Minute
	stopWithin  = 30 * time.Second
)

// baton is a running Baton, a process of its own.
type baton struct {
	cmd    *exec.Cmd
	dir    string
	public string // host:port
	base   string // of the admin listener
	admin  adminv1connect.AdminServiceClient
	ended  chan struct{}
	err    error         // of the end, once ended is closed
	up     time.Duration // from the start of the process until it was ready
	upUse  proc.Usage    // of that time
}

// startBaton starts Baton in dir, which holds its baton.yaml, and returns when
// it is ready and every app has been verified.
func startBaton(ctx context.Context, program, dir string) (_ *baton, err error) {
	began := time.Now()
	b := &baton{dir: dir, ended: make(chan struct{})}
	//nolint:gosec,noctx // the program that is to be measured; stop and kill end it
	b.cmd = exec.Command(program, "serve", "--config", filepath.Join(dir, "baton.yaml"), "--log-format", "json")
	lines, err := b.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "baton.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	announced := make(chan announcement, 1)
	go b.attend(lines, log, announced)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w (see %s)", errors.Join(err, b.kill()), filepath.Join(dir, "baton.log"))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	select {
	case a := <-announced:
		b.public, b.base = strings.TrimPrefix(a.Public, "http://"), a.Admin
	case <-b.ended:
		return b, fmt.Errorf("baton ended at its start: %w", b.err)
	case <-ctx.Done():
		return b, fmt.Errorf("baton does not start: %w", ctx.Err())
	}
	b.admin = adminv1connect.NewAdminServiceClient(http.DefaultClient, b.base)
	if err := b.poll(ctx, "ready", b.ready); err != nil {
		return b, err
	}
	b.up = time.Since(began)
	if b.upUse, err = b.usage(); err != nil {
		return b, err
	}
	return b, b.poll(ctx, "apps verified", b.verified)
}

// announcement is the line that Baton logs when it is up.
type announcement struct{ Msg, Public, Admin string }

// attend keeps the log and waits for the end of the process.
func (b *baton) attend(lines io.Reader, log *os.File, announced chan<- announcement) {
	r := bufio.NewScanner(lines)
	r.Buffer(nil, 1<<20)
	for r.Scan() {
		_, _ = log.Write(append(r.Bytes(), '\n'))
		var a announcement
		if json.Unmarshal(r.Bytes(), &a) == nil && a.Msg == "baton is up" {
			announced <- a
		}
	}
	_, _ = io.Copy(log, lines)
	b.err = errors.Join(b.cmd.Wait(), log.Close())
	close(b.ended)
}

// poll asks until the answer is yes.
func (b *baton) poll(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		yes, err := ask(ctx)
		if yes {
			return nil
		}
		select {
		case <-b.ended:
			return fmt.Errorf("baton ended while waiting for %s: %w", what, errors.Join(err, b.err))
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(err, ctx.Err()))
		case <-t.C:
		}
	}
}

func (b *baton) ready(ctx context.Context) (bool, error) {
	_, err := b.get(ctx, "/readyz")
	return err == nil, err
}

// verified reports whether every app takes deliveries.
func (b *baton) verified(ctx context.Context) (bool, error) {
	return b.allApps(ctx, func(a *adminv1.App) bool { return a.GetState() == "active" })
}

// allApps reports whether every app is as asked for.
func (b *baton) allApps(ctx context.Context, is func(*adminv1.App) bool) (bool, error) {
	apps, err := b.admin.ListApps(ctx, connect.NewRequest(&adminv1.ListAppsRequest{}))
	if err != nil {
		return false, err
	}
	for _, a := range apps.Msg.GetApps() {
		if !is(a) {
			return false, fmt.Errorf("app %s is %s (%s)", a.GetId(), a.GetState(), a.GetReason())
		}
	}
	return true, nil
}

// steer pauses or resumes an app.
func (b *baton) steer(ctx context.Context, app int, verb string) error {
	_, err := b.admin.SteerApp(ctx, connect.NewRequest(&adminv1.SteerAppRequest{App: appID(app), Verb: verb, Partition: -1}))
	return err
}

// get reads a page of the admin listener.
func (b *baton) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // the same
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, resp.Status, body)
	}
	return body, err
}

func (b *baton) webhooks() (host, target string) { return b.public, "/webhook" }

func (b *baton) usage() (proc.Usage, error) { return proc.Read(b.cmd.Process.Pid) }

// stop ends the process as an operator does.
func (b *baton) stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return b.kill()
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	select {
	case <-b.ended:
		return b.err
	case <-late.C:
		return fmt.Errorf("baton does not stop within %v: %w", stopWithin, b.kill())
	}
}

// kill ends the process as kill -9 does.
func (b *baton) kill() error {
	err := b.cmd.Process.Kill()
	<-b.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
