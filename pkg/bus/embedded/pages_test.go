package embedded_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus/embedded"
)

func pagedOptions() embedded.Options {
	return embedded.Options{Listen: "127.0.0.1:0", Readers: []embedded.Reader{
		{Name: "acme", Password: "a", Pages: []uint64{1, 3}},
		{Name: "other", Password: "o", Pages: []uint64{2}},
		{Name: "audit", Password: "u"},
	}}
}

func TestReaderWithPagesGetsThemAlone(t *testing.T) {
	t.Parallel()
	s := start(t, pagedOptions())
	c := baton(t, s)
	publish(t, c, 3)
	r := connect(t, s, nats.UserInfo("acme", "a"))
	if got := fetch(t, durable(t, r, "acme", "baton.control.v1.*.1.>"), 1); !slices.Equal(got, []string{"page 1"}) {
		t.Errorf("page 1: %q", got)
	}
	both, err := r.js.CreateConsumer(t.Context(), "BATON_CONTROL", jetstream.ConsumerConfig{
		Durable: "acme-9", FilterSubjects: []string{"baton.control.v1.*.1.>", "baton.control.v1.page.3.taken"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, both, 2); !slices.Equal(got, []string{"page 1", "page 3"}) {
		t.Errorf("pages 1 and 3: %q", got)
	}
	ordered, err := r.js.OrderedConsumer(t.Context(), "BATON_CONTROL", jetstream.OrderedConsumerConfig{
		NamePrefix: "acme", FilterSubjects: []string{"baton.control.v1.*.3.>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ordered.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil || string(m.Data()) != "page 3" {
		t.Errorf("ordered consumer: %v, %v", m, err)
	}
	mustSay(t, "direct get", r.request(t, "$JS.API.DIRECT.GET.BATON_CONTROL.baton.control.v1.page.1.taken", ""), "page 1")
}

func TestReaderWithPagesIsRefusedTheOthers(t *testing.T) {
	t.Parallel()
	s := start(t, pagedOptions())
	baton(t, s)
	other := connect(t, s, nats.UserInfo("other", "o"))
	durable(t, other, "other", "baton.control.v1.*.2.>")
	r := connect(t, s, nats.UserInfo("acme", "a"))
	for what, cfg := range map[string]jetstream.ConsumerConfig{
		"no filter":         {Durable: "acme"},
		"all pages":         {Durable: "acme", FilterSubject: "baton.control.v1.>"},
		"any page":          {Durable: "acme", FilterSubject: "baton.control.v1.*.*.*"},
		"another's page":    {Durable: "acme", FilterSubject: "baton.control.v1.*.2.>"},
		"one too many":      {Durable: "acme", FilterSubjects: []string{"baton.control.v1.*.1.>", "baton.control.v1.*.2.>"}},
		"cursors":           {Durable: "acme", FilterSubject: "baton.control.cursor.*"},
		"everything":        {Durable: "acme", FilterSubject: ">"},
		"a page as prefix":  {Durable: "acme", FilterSubject: "baton.control.v1.page.>"},
		"another's name":    {Durable: "other", FilterSubject: "baton.control.v1.*.1.>"},
		"a name of nobody":  {Durable: "billing", FilterSubject: "baton.control.v1.*.1.>"},
		"number too high":   {Durable: "acme-10", FilterSubject: "baton.control.v1.*.1.>"},
		"number from zero":  {Durable: "acme_0", FilterSubject: "baton.control.v1.*.1.>"},
		"number with zeros": {Durable: "acme_01", FilterSubject: "baton.control.v1.*.1.>"},
	} {
		_, err := r.js.CreateConsumer(t.Context(), "BATON_CONTROL", cfg)
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != 10003 {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, subject := range []string{
		"$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL.other", "$JS.API.CONSUMER.INFO.BATON_CONTROL.other",
		"$JS.API.CONSUMER.DELETE.BATON_CONTROL.other", "$JS.ACK.BATON_CONTROL.other.1.1.1.1.0",
		"$JS.API.DIRECT.GET.BATON_CONTROL", "$JS.API.DIRECT.GET.BATON_CONTROL.baton.control.v1.page.2.taken",
		"$JS.API.DIRECT.GET.BATON_CONTROL.baton.control.cursor.0", "$JS.API.DIRECT.GET.BATON_CONTROL.baton.control.v1.*.*.taken",
		"$JS.API.DIRECT.GET.BATON_CONTROL.baton.control.v1.>",
	} {
		r.mustBeRefused(t, "publish on "+subject, func() error { return r.Publish(subject, []byte(`{"seq":2}`)) })
	}
	info := r.request(t, "$JS.API.STREAM.INFO.BATON_CONTROL", `{"subjects_filter":">"}`)
	mustSay(t, "stream info", info, `"messages":3`)
	if strings.Contains(info, "baton.control.v1.page.") {
		t.Errorf("stream info tells the subjects of all pages: %s", info)
	}
}

// A reader listens on inboxes; it must not hear those of others, nor Baton's.
func TestReadersDoNotHearEachOther(t *testing.T) {
	t.Parallel()
	s := start(t, pagedOptions())
	c := baton(t, s)
	spies := map[string]*nats.Subscription{}
	for name, opts := range map[string][]nats.Option{"acme": {nats.UserInfo("acme", "a")}, "anonymous": nil} {
		r := connect(t, s, opts...)
		sub, err := r.SubscribeSync("_INBOX.>")
		if err := errors.Join(err, r.Flush()); err != nil {
			t.Fatal(err)
		}
		spies[name] = sub
	}
	audit := connect(t, s, nats.UserInfo("audit", "u"))
	if got := fetch(t, durable(t, audit, "everything", ""), 3); len(got) != 3 {
		t.Errorf("audit got %q", got)
	}
	if _, err := c.LastLog(t.Context(), 0); err != nil {
		t.Error(err)
	}
	for name, sub := range spies {
		// What was meant for others would have come before this answer.
		n, _, err := sub.Pending()
		if err != nil || n != 0 {
			t.Errorf("%s heard %d messages of others, %v", name, n, err)
		}
	}
}

func TestWrongReaderCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, pagedOptions())
	for _, user := range [][2]string{{"acme", "o"}, {"acme", ""}, {"reader", "x"}, {"BATON", "a"}} {
		if nc, err := nats.Connect(s.URL(), nats.UserInfo(user[0], user[1])); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%v: %v, %v", user, nc, err)
		}
	}
}

func TestReadersCannotMakeConsumersWithoutEnd(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{Listen: "127.0.0.1:0"})
	baton(t, s)
	r := connect(t, s)
	for i := range 256 {
		_, err := r.js.CreateConsumer(t.Context(), "BATON_CONTROL", jetstream.ConsumerConfig{Name: fmt.Sprint("c", i), MemoryStorage: true, InactiveThreshold: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.js.CreateConsumer(t.Context(), "BATON_CONTROL", jetstream.ConsumerConfig{Durable: "more"})
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != 10026 {
		t.Errorf("one more: %v", err)
	}
}
