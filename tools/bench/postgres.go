package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/baton-router/baton/pkg/lifecycle/porttest"
)

// cluster is a PostgreSQL of the run's own: in a temporary directory, on a free
// loopback port, with the settings that initdb gives it.
type cluster struct {
	cmd    *exec.Cmd
	dir    string
	port   string
	ended  chan struct{}
	router string // the baseline's program
}

func (c *cluster) dsn() string {
	return "postgres://postgres@127.0.0.1:" + c.port + "/postgres?sslmode=disable"
}

// postgresPrograms finds the newest initdb, in the given directory or where
// Debian, Homebrew and the PATH have it.
func postgresPrograms(dir string) (string, bool) {
	dirs := []string{dir}
	if dir == "" {
		dirs, _ = filepath.Glob("/usr/lib/postgresql/*/bin")
		slices.Reverse(dirs)
		if found, err := exec.LookPath("initdb"); err == nil {
			dirs = append(dirs, filepath.Dir(found))
		}
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(d, "initdb")); err == nil {
			return d, true
		}
	}
	return "", false
}

// startCluster makes and starts a cluster. As root it runs under the account
// postgres or nobody, since PostgreSQL refuses root.
func startCluster(ctx context.Context, programs string) (_ *cluster, err error) {
	c := &cluster{ended: make(chan struct{})}
	if c.dir, err = os.MkdirTemp("", "baton-bench-postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.dir))
		}
	}()
	as, err := account(c.dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(c.dir, "data")
	//nolint:gosec // a program that is measured
	initdb := exec.CommandContext(ctx, filepath.Join(programs, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = as, c.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	addrs, err := porttest.Reserve(1)
	if err != nil {
		return nil, err
	}
	_, c.port, _ = net.SplitHostPort(addrs[0])
	return c, c.start(ctx, programs, data, as)
}

func (c *cluster) start(ctx context.Context, programs, data string, as *syscall.SysProcAttr) error {
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return err
	}
	//nolint:gosec,noctx // a program that is measured; stop ends it
	c.cmd = exec.Command(filepath.Join(programs, "postgres"), "-D", data, "-c", "listen_addresses=127.0.0.1", "-p", c.port, "-k", c.dir)
	c.cmd.SysProcAttr, c.cmd.Dir, c.cmd.Stderr = as, c.dir, log
	if err := errors.Join(c.cmd.Start(), log.Close()); err != nil {
		return err
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	if err := c.answers(ctx, programs, as); err != nil {
		text, _ := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("%w: %s", err, text), c.end())
	}
	return nil
}

// answers waits until the server takes connections.
func (c *cluster) answers(ctx context.Context, programs string, as *syscall.SysProcAttr) error {
	for range 300 {
		//nolint:gosec // a program that is measured
		ask := exec.CommandContext(ctx, filepath.Join(programs, "pg_isready"), "-h", "127.0.0.1", "-p", c.port, "-q")
		ask.SysProcAttr, ask.Dir = as, c.dir
		if ask.Run() == nil {
			return nil
		}
		select {
		case <-c.ended:
			return errors.New("postgres ended at its start")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("postgres does not answer")
}

// end stops the server, by its process id, without waiting for its clients.
func (c *cluster) end() error {
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return nil //nolint:nilerr // it has ended
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopWithin):
		return errors.Join(errors.New("postgres does not stop"), c.cmd.Process.Kill())
	}
}

// stop ends the server and removes its directory.
func (c *cluster) stop() error { return errors.Join(c.end(), os.RemoveAll(c.dir)) }

// account gives dir to an account other than root and returns how to run under
// it; nil when this is not root.
func account(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // as who runs
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no account postgres or nobody")
}
