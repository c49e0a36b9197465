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
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/lifecycle/porttest"
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
	// Environment is added to that of the nodes, Arguments to their command line.
	Environment, Arguments []string
	// Configure writes what a node's configuration holds beside data_dir, node,
	// listen, nats and durability.
	Configure func() string
	// Cuttable puts a Link between every two processes that talk over NATS.
	Cuttable bool
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
	// Links are the ways between processes: of each node to each server, and of
	// each server to each other one. None unless Options.Cuttable.
	Links []*Link

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

// New prepares a cluster; nothing runs yet. Kill or Stop ends it.
func New(o Options) (*Cluster, error) {
	ports, err := porttest.Reserve(4 * Size)
	if err != nil {
		return nil, err
	}
	c := &Cluster{client: &http.Client{Timeout: 2 * time.Second}}
	c.Public, c.Admin = ports[2*Size:3*Size], ports[3*Size:]
	clients, routes := ports[:Size], ports[Size:2*Size]
	c.URL = natsURL(clients)
	for i := range Size {
		if err := errors.Join(c.addServer(o, i, clients[i], routes), c.addNode(o, i, clients)); err != nil {
			c.Kill()
			return nil, err
		}
	}
	return c, nil
}

// addServer adds NATS server i.
func (c *Cluster) addServer(o Options, i int, client string, routes []string) error {
	name := fmt.Sprint("n", i+1)
	config := filepath.Join(o.Root, "deploy", "nats", "nats.conf")
	others, err := c.ways(o, name, "n", routes, i)
	if err != nil {
		return err
	}
	if o.Cuttable {
		if config, err = cuttableServer(o.Dir, name, config); err != nil {
			return err
		}
	}
	for i := range others {
		others[i] = fmt.Sprintf("%q", "nats://"+others[i])
	}
	c.Servers = append(c.Servers, newProcess(name, o.Dir, []string{o.NATS, "-c", config}, []string{
		"NATS_NAME=" + name, "NATS_CLIENT=" + client, "NATS_CLUSTER=" + routes[i], "NATS_STORE=" + filepath.Join(o.Dir, name),
		"NATS_ROUTES=[" + strings.Join(others, ", ") + "]", "BATON_PASSWORD=" + Password, "CRM_PASSWORD=reader",
	}))
	return nil
}

// cuttableServer writes a configuration that includes the given one, and in which
// the server tells nobody of addresses that go round the links.
func cuttableServer(dir, name, config string) (string, error) {
	config, err := filepath.Rel(dir, config) // an include is found from where it stands
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, name+".conf")
	text := fmt.Sprintf("include %q\ncluster {name: baton, listen: $NATS_CLUSTER, routes: $NATS_ROUTES, no_advertise: true, advertise: \"127.0.0.1:1\"}\n", config)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func (c *Cluster) addNode(o Options, i int, clients []string) error {
	name := fmt.Sprint("b", i+1)
	servers, err := c.ways(o, name, "n", clients, -1)
	if err != nil {
		return err
	}
	file := filepath.Join(o.Dir, name+".yaml")
	text := fmt.Sprintf("node: %s\ndata_dir: %q\nlisten: {public: %q, admin: %q}\nnats: {url: %q, user: baton, password: %s}\ndurability: cluster\n%s",
		name, filepath.Join(o.Dir, name), c.Public[i], c.Admin[i], natsURL(servers), Password, o.Configure())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	c.Nodes = append(c.Nodes, newProcess(name, o.Dir, append([]string{o.Baton, "serve", "--config", file}, o.Arguments...), o.Environment))
	return nil
}

func natsURL(addresses []string) string { return "nats://" + strings.Join(addresses, ",nats://") }

// ways are the addresses at which a process reaches the servers that listen on
// the given ports, all but one of them: links when they can be cut.
func (c *Cluster) ways(o Options, from, to string, ports []string, except int) (ways []string, err error) {
	for i, port := range ports {
		if i == except {
			continue
		}
		if !o.Cuttable {
			ways = append(ways, port)
			continue
		}
		l, err := newLink(from, fmt.Sprint(to, i+1), port)
		if err != nil {
			return nil, err
		}
		c.Links = append(c.Links, l)
		ways = append(ways, l.Address())
	}
	return ways, nil
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
	for _, l := range c.Links {
		l.close()
	}
	c.client.CloseIdleConnections()
}
