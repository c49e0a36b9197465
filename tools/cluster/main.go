// Command cluster runs three NATS servers and three Baton nodes on loopback,
// with a little traffic, and a menu to kill, pause and resume them.
//
//	go run ./tools/cluster              # a menu
//	go run ./tools/cluster -run 'show; kill b2; wait; show'
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/tools/localcluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	script := flags.String("run", "", "commands to run instead of the menu, separated by semicolons")
	baton := flags.String("baton", "", "the program to run; built when empty")
	dir := flags.String("dir", "", "directory to keep logs and data in; a temporary one when empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		temporary, err := os.MkdirTemp("", "baton-cluster-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(temporary) }()
		*dir = temporary
	}
	m, err := newMenu(ctx, *dir, *baton, out)
	if err != nil {
		return err
	}
	defer m.close()
	if *script != "" {
		return m.runAll(ctx, strings.NewReader(strings.ReplaceAll(*script, ";", "\n")), true)
	}
	fmt.Fprint(out, help)
	return m.runAll(ctx, in, false)
}

const help = `
  show            who holds which partitions, and what the traffic saw
  kill  NAME      kill -9           (b1 b2 b3: Baton, n1 n2 n3: NATS)
  stop  NAME      stop in good order: it hands its partitions over
  pause NAME      SIGSTOP           resume NAME   SIGCONT
  start NAME      start again       wait          until every partition is where it belongs
  cut   NAME      no way to the (other) NATS servers, and nobody is told
  mend  NAME      the way is open again
  wait  5s        that long
  quit

`

// menu is the cluster and its commands.
type menu struct {
	cluster *localcluster.Cluster
	traffic *traffic
	away    map[string]bool // what is cut off
	out     io.Writer
}

// newMenu builds the programs and starts everything.
func newMenu(ctx context.Context, dir, baton string, out io.Writer) (*menu, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(out, "building the programs")
	baton, err = program(ctx, root, dir, baton)
	if err != nil {
		return nil, err
	}
	nats := filepath.Join(dir, "nats-server")
	if err := localcluster.BuildNATS(ctx, root, nats); err != nil {
		return nil, err
	}
	t, err := newTraffic()
	if err != nil {
		return nil, err
	}
	c, err := localcluster.New(localcluster.Options{Dir: dir, Baton: baton, NATS: nats, Root: root, Configure: t.configuration, Cuttable: true})
	if err != nil {
		t.close()
		return nil, err
	}
	m := &menu{cluster: c, traffic: t, away: map[string]bool{}, out: out}
	fmt.Fprintln(out, "starting three NATS servers and three Baton nodes")
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := errors.Join(c.Start(within), m.wait(within)); err != nil {
		m.close()
		return nil, err
	}
	t.start(c.Public)
	return m, nil
}

// program is the path of the program to run, built when none is given.
func program(ctx context.Context, root, dir, given string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	file := filepath.Join(dir, "baton")
	build := exec.CommandContext(ctx, "go", "build", "-o", file, "./services/baton") //nolint:gosec // the caller's own directory
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build baton: %w\n%s", err, text)
	}
	return file, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	text, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("not in Baton's repository: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (m *menu) close() {
	m.traffic.close()
	m.cluster.Stop()
}

// runAll runs the commands of a reader until it ends, ctx ends or quit. A
// script stops at the first that fails.
func (m *menu) runAll(ctx context.Context, in io.Reader, script bool) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- strings.TrimSpace(s.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more || line == "quit" {
				return nil
			}
			if script {
				fmt.Fprintln(m.out, ">", line)
			}
			if err := m.do(ctx, strings.Fields(line)); err != nil {
				if script {
					return err
				}
				fmt.Fprintln(m.out, err)
			}
		}
	}
}

func (m *menu) do(ctx context.Context, words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case len(words) == 1 && words[0] == "show":
		return m.show(ctx)
	case len(words) == 1 && words[0] == "wait":
		within, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return m.wait(within)
	case len(words) == 2 && words[0] == "wait":
		d, err := time.ParseDuration(words[1])
		if err == nil {
			nap(ctx, d)
		}
		return err
	case len(words) != 2:
		return fmt.Errorf("unknown command %q; try show, kill b1, quit", strings.Join(words, " "))
	}
	for _, p := range m.cluster.All() {
		if p.Name == words[1] {
			return m.steer(p, words[0])
		}
	}
	return fmt.Errorf("no process %q; there are n1 n2 n3 b1 b2 b3", words[1])
}

func (m *menu) steer(p *localcluster.Process, verb string) error {
	switch verb {
	case "cut":
		m.cut(p.Name, localcluster.Silent)
	case "mend":
		m.cut(p.Name, localcluster.Whole)
	case "kill":
		p.Kill()
	case "stop":
		p.Stop(30 * time.Second)
	case "pause":
		p.Pause()
	case "resume":
		p.Resume()
	case "start":
		return p.Start()
	default:
		return fmt.Errorf("unknown command %q", verb)
	}
	return nil
}

func (m *menu) cut(name string, how localcluster.Cut) {
	m.away[name] = how != localcluster.Whole
	for _, s := range m.cluster.Servers {
		if s.Name != name {
			m.cluster.Cut(name, s.Name, how)
		}
	}
}

// running is the number of a node that runs and is not cut off; -1 for none.
func (m *menu) running() int {
	for i, p := range m.cluster.Nodes {
		if p.State() == "running" && !m.away[p.Name] {
			return i
		}
	}
	return -1
}

// show prints the table.
func (m *menu) show(ctx context.Context) error {
	i := m.running()
	if i < 0 {
		return errors.New("no Baton node runs")
	}
	ownership, err := m.cluster.Held(ctx, i, "ownership")
	if err != nil {
		return err
	}
	fanout, err := m.cluster.Held(ctx, i, "fanout")
	if err != nil {
		return err
	}
	for _, p := range m.cluster.Servers {
		fmt.Fprintf(m.out, "  %s %-8s\n", p.Name, p.State())
	}
	for _, p := range m.cluster.Nodes {
		fmt.Fprintf(m.out, "  %s %-8s decides %2d %v, delivers %2d\n", p.Name, p.State(), len(ownership[p.Name]), ownership[p.Name], len(fanout[p.Name]))
	}
	fmt.Fprintln(m.out, "  "+m.traffic.summary())
	return nil
}

// wait waits until every partition of both roles is held by the node that it belongs
// to among those that run, as one of these sees it.
func (m *menu) wait(ctx context.Context) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if i := m.running(); i >= 0 && m.allHeld(ctx, i, "ownership") && m.allHeld(ctx, i, "fanout") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not every partition is where it belongs: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

func (m *menu) allHeld(ctx context.Context, i int, role string) bool {
	held, err := m.cluster.Held(ctx, i, role)
	if err != nil {
		return false
	}
	var running []string
	for _, p := range m.cluster.Nodes {
		if p.State() == "running" && !m.away[p.Name] {
			running = append(running, p.Name)
		} else if len(held[p.Name]) > 0 {
			return false // not noticed yet
		}
	}
	for n := range partitions {
		if !slices.Contains(held[partition.Rendezvous(n, running)], n) {
			return false
		}
	}
	return true
}
