package telemetry_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/baton-router/baton/pkg/telemetry"
)

const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparentRoundTrip(t *testing.T) {
	t.Parallel()
	trace, err := telemetry.ParseTraceparent(example)
	if err != nil || trace.ID.String() != "4bf92f3577b34da6a3ce929d0e0e4736" || !trace.Sampled {
		t.Fatalf("%+v, %v", trace, err)
	}
	if got := trace.Traceparent(); got != example {
		t.Error(got)
	}
	next := trace.Next()
	if next.ID != trace.ID || next.Parent == trace.Parent {
		t.Errorf("next span %+v", next)
	}
	// A later version may say more; what we know of it is kept.
	if later, err := telemetry.ParseTraceparent("cc" + example[2:] + "-what-comes"); err != nil || later != trace {
		t.Errorf("%+v, %v", later, err)
	}
}

func TestMalformedTraceparents(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "00", example[:54], example + "-x", example + "0",
		"ff" + example[2:], "cc" + example[2:] + "x", "0x" + example[2:],
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
	} {
		if _, err := telemetry.ParseTraceparent(s); !errors.Is(err, telemetry.ErrTraceparent) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestTraceOfRequest(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("traceparent", example)
	if got := telemetry.TraceOf(h).Traceparent(); got != example {
		t.Error(got)
	}
	h.Add("traceparent", example)
	for _, header := range []http.Header{{}, h, {"Traceparent": {"nonsense"}}} {
		got := telemetry.TraceOf(header)
		if got.ID.IsZero() || got.ID.String() == "4bf92f3577b34da6a3ce929d0e0e4736" {
			t.Errorf("%v: %s", header, got.ID)
		}
	}
	ctx := telemetry.WithTrace(t.Context(), telemetry.TraceOf(http.Header{}))
	if telemetry.TraceFrom(ctx).ID.IsZero() || !telemetry.TraceFrom(t.Context()).ID.IsZero() {
		t.Error("trace of a context")
	}
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add(example)
	f.Add("cc" + example[2:] + "-more")
	f.Fuzz(func(t *testing.T, s string) {
		trace, err := telemetry.ParseTraceparent(s)
		if err != nil {
			return
		}
		again, err := telemetry.ParseTraceparent(trace.Traceparent())
		if err != nil || again != trace {
			t.Errorf("%q: %+v, %v", s, again, err)
		}
	})
}
