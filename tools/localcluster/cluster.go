// Package localcluster runs three NATS servers and three Baton nodes as
// processes on loopback, for tests and for people who want to see one die.
//
// The rule of the package: it starts what an operator starts, the real programs
// with the configuration in deploy/nats, and knows nothing of their insides.
package localcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Size is how many servers and how many nodes there are.
const Size = 3

// Password is that of the user baton in the servers' sample
// configuration.
const Password = "local"

// Options say what to run.
type Options struct {
	// Dir holds everything: logs, data, configurations.
	Dir string
	// Baton and NATS are the programs; Root is the repository, for the servers'
	// configuration.
	Baton, NATS, Root string
	// Environment is added to that of the nodes.
	Environment []string
	// Configure writes what a node's configuration holds beside data_dir, node,
	// listen, nats and durability.
	Configure func() string
}

// Cluster is the processes and where they listen. Its methods are safe for
// concurrent use.
type Cluster struct {
	// Servers and Nodes, by number.
	Servers, Nodes []*Process
	// Public and Admin are the nodes' listeners, as host:port.
	Public, Admin []string
	// URL reaches the NATS servers.
	URL string

	client *http.Client
}

// BuildNATS builds the NATS server that Baton is tested with. It needs the go
// command and the module's dependencies.
func BuildNATS(ctx context.Context, root, file string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, "github.com/nats-io/nats-server/v2") //nolint:gosec // the caller's own file
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return nil
}

// New prepares a cluster; nothing runs yet.
func New(o Options) (*Cluster, error) {
	ports, err := freePorts(4 * Size)
	if err != nil {
		return nil, err
	}
	c := &Cluster{client: &http.Client{Timeout: 2 * time.Second}}
	var routes, urls []string
	for i := range Size {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+ports[Size+i]))
		urls = append(urls, "nats://"+ports[i])
		c.Public, c.Admin = append(c.Public, ports[2*Size+i]), append(c.Admin, ports[3*Size+i])
	}
	c.URL = strings.Join(urls, ",")
	for i := range Size {
		name := fmt.Sprint("n", i+1)
		c.Servers = append(c.Servers, newProcess(name, o.Dir, []string{o.NATS, "-c", filepath.Join(o.Root, "deploy", "nats", "nats.conf")}, []string{
			"NATS_NAME=" + name, "NATS_CLIENT=" + ports[i], "NATS_CLUSTER=" + ports[Size+i], "NATS_STORE=" + filepath.Join(o.Dir, name),
			"NATS_ROUTES=[" + strings.Join(routes, ", ") + "]", "BATON_PASSWORD=" + Password, "CRM_PASSWORD=reader",
		}))
		if err := c.addNode(o, i); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Cluster) addNode(o Options, i int) error {
	name := fmt.Sprint("b", i+1)
	file := filepath.Join(o.Dir, name+".yaml")
	text := fmt.Sprintf("node: %s\ndata_dir: %q\nlisten: {public: %q, admin: %q}\nnats: {url: %q, user: baton, password: %s}\ndurability: cluster\n%s",
		name, filepath.Join(o.Dir, name), c.Public[i], c.Admin[i], c.URL, Password, o.Configure())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	c.Nodes = append(c.Nodes, newProcess(name, o.Dir, []string{o.Baton, "serve", "--config", file}, o.Environment))
	return nil
}

// freePorts finds addresses on which nothing listens at the moment, below the
// ports that the system gives to outgoing connections.
func freePorts(n int) ([]string, error) {
	var found []string
	for range 100 * n {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(18_000))) //nolint:noctx,gosec // returns at once; no secret
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // together, so that all differ
		if found = append(found, l.Addr().String()); len(found) == n {
			return found, nil
		}
	}
	return nil, errors.New("no free ports between 12000 and 30000")
}

// All are the processes, servers first.
func (c *Cluster) All() []*Process { return append(append([]*Process{}, c.Servers...), c.Nodes...) }

// Start starts everything that does not run and waits until every partition is
// held and every node says that it is ready.
func (c *Cluster) Start(ctx context.Context) error {
	for _, p := range c.Servers {
		if err := p.Start(); err != nil {
			return err
		}
	}
	for i := range c.Servers {
		if err := c.awaitServer(ctx, i); err != nil {
			return err
		}
	}
	for _, p := range c.Nodes {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return c.AwaitReady(ctx)
}

// awaitServer waits until a NATS server takes connections.
func (c *Cluster) awaitServer(ctx context.Context, i int) error {
	address := strings.TrimPrefix(strings.Split(c.URL, ",")[i], "nats://")
	return poll(ctx, func() error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// AwaitReady waits until every node that runs says that it is ready.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	for i, p := range c.Nodes {
		err := poll(ctx, func() error {
			switch p.State() {
			case "running":
				return c.ready(ctx, i)
			case "stopped":
				return fmt.Errorf("%w: it has ended", errFinal)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("node %s is not ready: %w\n%s", p.Name, err, p.Tail(3000))
		}
	}
	return nil
}

// errFinal ends a poll.
var errFinal = errors.New("no use to wait")

// poll repeats f until it succeeds or ctx ends.
func poll(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil || errors.Is(err, errFinal) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

func (c *Cluster) ready(ctx context.Context, i int) error {
	status, body, err := c.get(ctx, i, "/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d: %s", status, body)
	}
	return err
}

func (c *Cluster) get(ctx context.Context, i int, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Admin[i]+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, data, errors.Join(err, resp.Body.Close())
}

// Held says which partitions each node holds of a role, as node i sees it.
func (c *Cluster) Held(ctx context.Context, i int, role string) (map[string][]int, error) {
	_, body, err := c.get(ctx, i, "/debug/partitions")
	if err != nil {
		return nil, err
	}
	var roles map[string]json.RawMessage
	if err := json.Unmarshal(body, &roles); err != nil {
		return nil, err
	}
	var nodes []struct {
		Node string `json:"node"`
		Held []int  `json:"held"`
	}
	if err := json.Unmarshal(roles[role], &nodes); err != nil {
		return nil, err
	}
	held := map[string][]int{}
	for _, n := range nodes {
		held[n.Node] = n.Held
	}
	return held, nil
}

// Stop ends everything: the nodes in good order, then the servers.
func (c *Cluster) Stop() {
	for _, p := range c.Nodes {
		p.Stop(30 * time.Second)
	}
	c.Kill()
}

// Kill ends everything at once.
func (c *Cluster) Kill() {
	for _, p := range c.All() {
		p.Kill()
	}
	c.client.CloseIdleConnections()
}
