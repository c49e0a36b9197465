package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// deployed starts three processes of the real server with the configuration
// that operators are given, and returns the clients' URL.
func deployed(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "nats-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("building the server: %v\n%s", err, out)
	}
	ports := freePorts(t, 6)
	var routes, urls []string
	for _, port := range ports[3:] {
		routes = append(routes, fmt.Sprintf("%q", fmt.Sprint("nats://127.0.0.1:", port)))
	}
	for i := range 3 {
		urls = append(urls, fmt.Sprint("nats://127.0.0.1:", ports[i]))
		process := exec.Command(binary, "-c", "../../../deploy/nats/nats.conf")
		process.Env = append(os.Environ(),
			fmt.Sprint("NATS_NAME=n", i), fmt.Sprint("NATS_CLIENT=127.0.0.1:", ports[i]), fmt.Sprint("NATS_CLUSTER=127.0.0.1:", ports[3+i]),
			"NATS_STORE="+t.TempDir(), "NATS_ROUTES=["+strings.Join(routes, ", ")+"]", "BATON_PASSWORD=b4ton", "CRM_PASSWORD=cr-m")
		output := new(strings.Builder)
		process.Stderr = output
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = process.Process.Kill()
			_ = process.Wait()
			if t.Failed() {
				t.Logf("server %d: %s", i, output)
			}
		})
	}
	return strings.Join(urls, ",")
}

// The configuration in deploy/nats carries Baton's streams on three servers,
// lets a reader read the control-change topic and nothing else.
func TestDeployedServersCarryBatonAndAReader(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and starts three servers")
	}
	urls := deployed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	c := dialDeployed(ctx, t, urls)
	clusterFence(ctx, t, c)
	clusterBatches(ctx, t, c)
	makeReaderConsumer(ctx, t, urls)

	nc := connectAs(t, urls, nats.UserInfo("crm", "cr-m"))
	got := readOne(ctx, t, nc)
	if got.Subject != bus.ControlSubject("page", 1, "taken") {
		t.Errorf("read %q", got.Subject)
	}
	if err := got.AckSync(nats.Context(ctx)); err != nil {
		t.Errorf("ack: %v", err)
	}
	refuseReader(ctx, t, nc, c)
}

func connectAs(t *testing.T, urls string, o ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(urls, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// dialDeployed connects as Baton and makes the streams as soon as the servers
// agree; until then the error says that it is a matter of time.
func dialDeployed(ctx context.Context, t *testing.T, urls string) *bus.Conn {
	t.Helper()
	var c *bus.Conn
	for c == nil {
		var err error
		if c, err = bus.Dial(ctx, bus.Options{URL: urls, User: "baton", Password: "b4ton"}); err != nil && ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(c.Close)
	for {
		_, err := c.EnsureStreams(ctx, bus.Config{Partitions: 4, Replicas: 3})
		if err == nil {
			return c
		}
		if !errors.Is(err, bus.ErrUnavailable) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// makeReaderConsumer does what the comment in the configuration tells Baton's
// operator to do.
func makeReaderConsumer(ctx context.Context, t *testing.T, urls string) {
	t.Helper()
	js, err := jetstream.New(connectAs(t, urls, nats.UserInfo("baton", "b4ton")))
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateConsumer(ctx, bus.StreamControl, jetstream.ConsumerConfig{
		Durable: "crm", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy, FilterSubject: "baton.control.v1.>",
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readOne pulls one message with nothing but what the reader may ask.
func readOne(ctx context.Context, t *testing.T, nc *nats.Conn) *nats.Msg {
	t.Helper()
	for {
		m, err := nc.RequestWithContext(ctx, "$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL.crm", []byte(`{"batch":1,"expires":1000000000}`))
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("Status") == "" {
			return m
		}
	}
}

// refuseReader: a reader neither writes nor reads anything else, whatever it
// tries; the log stays as it was.
func refuseReader(ctx context.Context, t *testing.T, nc *nats.Conn, c *bus.Conn) {
	t.Helper()
	before, err := c.LastLog(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		"baton.log.0", "baton.in.0", "baton.roster", "baton.cmd.0", "baton.control.v1.page.1.taken", "$JS.API.STREAM.INFO.BATON_LOG",
		"$JS.API.STREAM.MSG.GET.BATON_LOG", "$JS.API.CONSUMER.CREATE.BATON_CONTROL.x", "$JS.API.CONSUMER.MSG.NEXT.BATON_LOG.x",
	} {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		if m, err := nc.RequestWithContext(short, subject, []byte(`{}`)); err == nil {
			t.Errorf("%s answered %q", subject, m.Data)
		}
		cancel()
	}
	// The answer to a pull, sent to the log: within Baton's account the server
	// would publish it there.
	if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL.crm", "baton.log.0", []byte(`{"batch":1,"no_wait":true}`)); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(time.Second); err != nil {
		t.Fatal(err)
	}
	if after, err := c.LastLog(ctx, 0); err != nil || after.Sequence != before.Sequence {
		t.Errorf("the log ends at %d, %v; before the reader's tries at %d", after.Sequence, err, before.Sequence)
	}
}

// A server that cannot carry the streams is refused at the start, with the
// setting to change.
func TestUnfitServersAreExplained(t *testing.T) {
	t.Parallel()
	one := start(t, embeddedOptions(t))
	c, err := bus.Dial(t.Context(), bus.Options{InProcess: one, User: one.User(), Password: one.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	_, err = c.EnsureStreams(t.Context(), bus.Config{Partitions: 4, Replicas: 3})
	if !errors.Is(err, bus.ErrServer) || !strings.Contains(err.Error(), "durability") {
		t.Errorf("three replicas on one server: %v", err)
	}
	url := smallServer(t)
	small, err := bus.Dial(t.Context(), bus.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(small.Close)
	_, err = small.EnsureStreams(t.Context(), bus.Config{Partitions: 4, Replicas: 1})
	if !errors.Is(err, bus.ErrServer) || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("a server of small messages: %v", err)
	}
}

func embeddedOptions(t *testing.T) embedded.Options {
	t.Helper()
	return embedded.Options{Dir: t.TempDir()}
}

// smallServer has the message limit that a server has by default.
func smallServer(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s.ClientURL()
}

// An nkey opens the connection, and a file without one says which.
func TestNKeyConnects(t *testing.T) {
	t.Parallel()
	const ( // a pair made for this test
		seed   = "SUAJ3GXSADK3UZNJ6EHY5YMZLSTOLSI3PXLT35G6REOXSEHAG4OKZUHZTU"
		public = "UDJWA7SHVDDGVN4NHSBXC4NB5NLVNKP4AJT5747XAJFOYEXBPPGZHT4R"
	)
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Nkeys: []*server.NkeyUser{{Nkey: public}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	file := filepath.Join(t.TempDir(), "baton.nk")
	if err := os.WriteFile(file, []byte(seed), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := bus.Dial(t.Context(), bus.Options{URL: s.ClientURL(), NKeyFile: file})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := bus.Dial(t.Context(), bus.Options{URL: s.ClientURL()}); err == nil {
		t.Error("connected without the key")
	}
	if _, err := bus.Dial(t.Context(), bus.Options{URL: s.ClientURL(), NKeyFile: file + ".gone"}); err == nil || !strings.Contains(err.Error(), "baton.nk.gone") {
		t.Errorf("without the file: %v", err)
	}
}
