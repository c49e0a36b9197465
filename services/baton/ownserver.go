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
	"strconv"
	"syscall"
	"time"

	"github.com/baton-router/baton/pkg/conformance"
)

// Bounds of a server of our own.
const (
	ownReadyWithin = time.Minute
	ownStopsWithin = 15 * time.Second
)

// What the platform knows of a server that is started for the conformance kit.
const (
	ownAppID  = 700000000009999
	ownSecret = "conformance-platform-secret"
	ownVerify = "conformance-verify"
)

// ownServer is this program once more, serving in a process of its own, with
// the simulator as platform, on a temporary directory and free ports.
type ownServer struct {
	dir   string
	child *exec.Cmd
	up    chan conformance.Server // receives where it listens, or is closed
	ended chan error
}

// startOwnServer starts the server and returns when it is ready. The caller
// calls stop.
func startOwnServer(ctx context.Context) (*ownServer, conformance.Server, error) {
	s := &ownServer{up: make(chan conformance.Server, 1), ended: make(chan error, 1)}
	described, err := s.start(ctx)
	if err != nil {
		return nil, described, errors.Join(err, s.stop())
	}
	return s, described, nil
}

func (s *ownServer) start(ctx context.Context) (described conformance.Server, err error) {
	if s.dir, err = os.MkdirTemp("", "baton-conformance-"); err != nil {
		return described, err
	}
	program, err := os.Executable()
	if err != nil {
		return described, err
	}
	file := filepath.Join(s.dir, "baton.yaml")
	if err := os.WriteFile(file, []byte(ownConfig(filepath.Join(s.dir, "data"))), 0o600); err != nil {
		return described, err
	}
	s.child = exec.Command(program, "serve", "--config", file, "--log-format", "json") //nolint:gosec,noctx // this program; stop ends it in good order
	log, err := s.child.StderrPipe()
	if err != nil {
		return described, err
	}
	if err := s.child.Start(); err != nil {
		s.child = nil
		return described, err
	}
	go s.follow(log)
	ctx, cancel := context.WithTimeout(ctx, ownReadyWithin)
	defer cancel()
	select {
	case listening, ok := <-s.up:
		if !ok {
			return described, errors.New("the server did not start")
		}
		described = listening
	case <-ctx.Done():
		return described, ctx.Err()
	}
	return described, awaitReady(ctx, described.Baton.Admin)
}

// ownConfig is the configuration of the server; the kit brings apps and pages.
func ownConfig(dataDir string) string {
	var b configText
	b.line(0, "data_dir: %q", dataDir)
	b.line(0, `listen: {public: "127.0.0.1:0", admin: "127.0.0.1:0"}`)
	b.line(0, `nats: {listen: ""}`)
	b.line(0, "durability: node")
	b.line(0, "partitions: 8")
	b.line(0, "platform: {graph_url: simulator, app_id: %q, app_secret: %q, verify_token: %q}",
		strconv.Itoa(ownAppID), ownSecret, ownVerify)
	b.line(0, `egress: {allow: ["127.0.0.0/8"]}`)
	return b.String()
}

// ownDescription is the server as the kit has to know it.
func ownDescription(public, admin string) string {
	var b configText
	b.line(0, "url: %q", public)
	b.line(0, "platform: {app_id: %q, app_secret: %q}", strconv.Itoa(ownAppID), ownSecret)
	b.line(0, "baton: {admin: %q}", admin)
	return b.String()
}

// follow reads the server's log to its end: where it listens, and on a failed
// start its last line.
func (s *ownServer) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	last := ""
	for lines.Scan() {
		last = lines.Text()
		var line struct{ Msg, Public, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Msg != "baton is up" {
			continue
		}
		if described, err := conformance.ParseServer("this program", []byte(ownDescription(line.Public, line.Admin))); err == nil {
			s.up <- described
		}
	}
	close(s.up)
	err := s.child.Wait()
	if err != nil {
		err = fmt.Errorf("the server: %w: %s", err, last)
	}
	s.ended <- err
}

// awaitReady waits until the server is.
func awaitReady(ctx context.Context, admin string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		}
	}
}

// stop ends the server in good order and removes what it kept.
func (s *ownServer) stop() error {
	var err error
	if s.child != nil {
		_ = s.child.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-s.ended:
		case <-time.After(ownStopsWithin):
			_ = s.child.Process.Kill()
			err = errors.Join(errors.New("the server did not stop"), <-s.ended)
		}
	}
	if s.dir == "" {
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
