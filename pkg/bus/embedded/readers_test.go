package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// design.md, "Who may talk to what": the reader may do nothing else; nobody but
// baton can publish on baton.>.
func TestReaderIsRefusedEverythingElse(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	c := baton(t, s)
	r := connect(t, s)
	before := counts(t, c)
	for _, subject := range []string{
		"baton.log.0", "baton.in.0", "baton.cmd.0", "baton.barrier.0", "baton.cursor.0", "baton.roster", "baton.note.x",
		"baton.control.v1.page.1.taken", "baton.control.v1.x", "baton.control.cursor.0", "baton.guard.reader.STREAM.INFO.BATON_CONTROL",
		"$JS.API.STREAM.DELETE.BATON_CONTROL", "$JS.API.STREAM.DELETE.BATON_LOG", "$JS.API.STREAM.PURGE.BATON_IN",
		"$JS.API.STREAM.PURGE.BATON_CONTROL", "$JS.API.STREAM.UPDATE.BATON_CONTROL", "$JS.API.STREAM.CREATE.MINE",
		"$JS.API.STREAM.MSG.DELETE.BATON_CONTROL", "$JS.API.STREAM.MSG.GET.BATON_LOG", "$JS.API.STREAM.MSG.GET.BATON_CONTROL",
		"$JS.API.STREAM.INFO.BATON_LOG", "$JS.API.STREAM.INFO.BATON_IN", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.INFO",
		"$JS.API.DIRECT.GET.BATON_IN", "$JS.API.DIRECT.GET.BATON_LOG", "$JS.API.CONSUMER.CREATE.BATON_IN.x", "$JS.API.CONSUMER.CREATE.BATON_LOG.x",
		"$JS.API.CONSUMER.CREATE.BATON_CONTROL", "$JS.API.CONSUMER.DURABLE.CREATE.BATON_CONTROL.x", "$JS.API.CONSUMER.CREATE.BATON_LOG.x.baton.log.0",
		"$JS.API.CONSUMER.MSG.NEXT.BATON_LOG.x", "$JS.API.CONSUMER.LIST.BATON_CONTROL", "$JS.API.CONSUMER.NAMES.BATON_CONTROL",
		"$JS.ACK.BATON_LOG.x.1.1.1.1.0", "$JS.API.STREAM.SNAPSHOT.BATON_LOG", "$SYS.REQ.SERVER.PING", "anything",
	} {
		r.mustBeRefused(t, "publish on "+subject, func() error { return r.Publish(subject, []byte(`{"seq":1}`)) })
	}
	for _, subject := range []string{"baton.>", ">", "*.>", "baton.log.*", "baton.in.0", "baton.cmd.*", "$JS.>", "$SYS.>", "_R_.>"} {
		r.mustBeRefused(t, "subscribe to "+subject, func() error {
			_, err := r.SubscribeSync(subject)
			return err
		})
	}
	if after := counts(t, c); !slices.Equal(after, before) {
		t.Errorf("streams %v, before %v", after, before)
	}
}

// The server publishes answers on the reply subject of a request without
// looking at permissions; a reader must not reach a stream that way.
func TestReaderCannotWriteThroughReplies(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	c := baton(t, s)
	r := connect(t, s)
	durable(t, r, "mine", "")
	before := counts(t, c)
	for _, target := range []string{"baton.log.0", "baton.in.0", "baton.roster", "baton.cursor.0", "baton.control.v1.page.1.taken"} {
		for subject, body := range map[string]string{
			"$JS.API.STREAM.INFO.BATON_CONTROL":             "",
			"$JS.API.CONSUMER.INFO.BATON_CONTROL.mine":      "",
			"$JS.API.CONSUMER.INFO.BATON_CONTROL.none":      "",
			"$JS.API.CONSUMER.DELETE.BATON_CONTROL.none":    "",
			"$JS.API.CONSUMER.CREATE.BATON_CONTROL.mine":    "not json",
			"$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL.mine":  `{"batch":5,"expires":200000000,"idle_heartbeat":50000000}`,
			"$JS.API.DIRECT.GET.BATON_CONTROL":              `{"seq":1}`,
			"$JS.API.DIRECT.GET.BATON_CONTROL.none":         "",
			"$JS.ACK.BATON_CONTROL.mine.1.1.1.1699999999.0": "+NXT",
		} {
			if err := r.PublishRequest(subject, target, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Everything is through when a later request of each kind is answered.
	r.request(t, "$JS.API.STREAM.INFO.BATON_CONTROL", "")
	r.request(t, "$JS.API.DIRECT.GET.BATON_CONTROL", `{"seq":1}`)
	mustSay(t, "pull until its end", status(t, r, "mine"), "Timeout")
	if after := counts(t, c); !slices.Equal(after, before) {
		t.Errorf("streams %v, before %v", after, before)
	}
}

// status pulls until the server says that the request has run out.
func status(t *testing.T, r *stranger, consumer string) string {
	t.Helper()
	inbox := nats.NewInbox()
	sub, err := r.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL."+consumer, inbox, []byte(`{"batch":50,"expires":400000000}`)); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if text := m.Header.Get("Description"); text != "" {
			return text
		}
	}
}

func TestReaderGetsPullConsumersOnly(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	c := baton(t, s)
	r := connect(t, s)
	before := counts(t, c)
	const create = "$JS.API.CONSUMER.CREATE.BATON_CONTROL."
	for what, request := range map[string][2]string{
		"push":             {"x", `{"stream_name":"BATON_CONTROL","config":{"name":"x","deliver_subject":"baton.log.0"}}`},
		"push, other case": {"x", `{"stream_name":"BATON_CONTROL","config":{"name":"x","Deliver_Subject":"baton.log.0","idle_heartbeat":100000000}}`},
		"push, twice":      {"x", `{"stream_name":"BATON_CONTROL","config":{"name":"x","deliver_subject":""},"config":{"name":"x","deliver_subject":"baton.log.0"}}`},
		"heartbeat":        {"x", `{"stream_name":"BATON_CONTROL","config":{"name":"x","idle_heartbeat":100000000}}`},
		"other stream":     {"x", `{"stream_name":"BATON_LOG","config":{"name":"x"}}`},
		"other name":       {"x", `{"stream_name":"BATON_CONTROL","config":{"name":"y"}}`},
		"other filter":     {"x.baton.control.v1.>", `{"stream_name":"BATON_CONTROL","config":{"name":"x","filter_subject":"baton.control.cursor.*"}}`},
		"not JSON":         {"x", `{`},
		"not an object":    {"x", `[]`},
		"empty":            {"x", ``},
	} {
		mustSay(t, what, r.request(t, create+request[0], request[1]), `"err_code":10003`)
	}
	info, err := r.js.Stream(t.Context(), "BATON_CONTROL")
	if err != nil || info.CachedInfo().State.Consumers != 0 {
		t.Errorf("consumers were made: %v, %v", info, err)
	}
	if after := counts(t, c); !slices.Equal(after, before) {
		t.Errorf("streams %v, before %v", after, before)
	}
}

func TestReaderFollowsTheTopic(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	c := baton(t, s)
	r := connect(t, s)
	stream, err := r.js.Stream(t.Context(), "BATON_CONTROL")
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"baton.control.v1.>"}})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := ordered.Messages(jetstream.PullHeartbeat(time.Second / 2))
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for _, want := range []string{"page 1", "page 2", "page 3"} {
		if want == "page 3" { // one that comes while it waits
			publish(t, c, 3)
		}
		m, err := messages.Next(jetstream.NextMaxWait(5 * time.Second))
		if err != nil || string(m.Data()) != want {
			t.Fatalf("ordered consumer: %v, wanted %s, %v", m, want, err)
		}
	}
	if m, err := stream.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "page 1" || m.Header.Get("Nats-Msg-Id") != "0-1" {
		t.Errorf("direct get by sequence: %v, %v", m, err)
	}
	if m, err := stream.GetLastMsgForSubject(t.Context(), "baton.control.v1.*.2.>"); err != nil || string(m.Data) != "page 2" {
		t.Errorf("direct get by subject: %v, %v", m, err)
	}
}

func TestReaderKeepsItsPlaceInADurableConsumer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Options{Dir: dir, Listen: "127.0.0.1:0"})
	c := baton(t, s)
	r := connect(t, s)
	got := fetch(t, durable(t, r, "billing", ""), 1)
	if !slices.Equal(got, []string{"page 1"}) {
		t.Errorf("first fetch %q", got)
	}
	r.Close()
	c.Close()
	s.Stop()

	s = start(t, embedded.Options{Dir: dir, Listen: "127.0.0.1:0"})
	r = connect(t, s)
	consumer, err := r.js.Consumer(t.Context(), "BATON_CONTROL", "billing")
	if err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, consumer, 1); !slices.Equal(got, []string{"page 2"}) {
		t.Errorf("fetch after the restart %q", got)
	}
	if err := r.js.DeleteConsumer(t.Context(), "BATON_CONTROL", "billing"); err != nil {
		t.Error(err)
	}
}

// durable makes a durable pull consumer.
func durable(t *testing.T, r *stranger, name, filter string) jetstream.Consumer {
	t.Helper()
	consumer, err := r.js.CreateOrUpdateConsumer(t.Context(), "BATON_CONTROL", jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: filter,
	})
	if err != nil {
		t.Fatal(err)
	}
	return consumer
}

// fetch takes n messages and acknowledges them, waiting for the server's word.
func fetch(t *testing.T, consumer jetstream.Consumer, n int) []string {
	t.Helper()
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for m := range batch.Messages() {
		got = append(got, string(m.Data()))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := m.DoubleAck(ctx); err != nil {
			t.Errorf("acknowledge: %v", err)
		}
		cancel()
	}
	if err := batch.Error(); err != nil {
		t.Error(err)
	}
	return got
}

func publish(t *testing.T, c *bus.Conn, page uint64) {
	t.Helper()
	_, seq, err := c.ControlCursor(t.Context(), 0)
	_, pubErr := c.PublishControl(t.Context(), []bus.ControlMessage{{
		Subject: bus.ControlSubject("page", page, "taken"), ID: fmt.Sprint(page, "-", seq), Data: fmt.Appendf(nil, "page %d", page),
	}}, []bus.CursorMove{{Partition: 0, Data: []byte("cursor"), Expected: seq}})
	if err := errors.Join(err, pubErr); err != nil {
		t.Fatal(err)
	}
}

// Baton's own identity works in process only.
func TestBatonIsAcceptedInProcessOnly(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	if nc, err := nats.Connect(s.URL(), nats.UserInfo(s.User(), s.Password())); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("baton over the network: %v, %v", nc, err)
	}
	if nc, err := nats.Connect(s.URL(), nats.UserInfo("nobody", "x")); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("unknown user: %v, %v", nc, err)
	}
	other := start(t, embedded.Options{})
	if s.Password() == other.Password() || len(s.Password()) < 20 {
		t.Error("the password is not random")
	}
	if other.Addr() != "" || other.URL() != "" {
		t.Errorf("in process only, but listens on %q", other.Addr())
	}
}
