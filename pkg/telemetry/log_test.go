package telemetry_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/telemetry"
)

func TestLoggerFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": "partition=3", "json": `"partition":3`} {
		var out bytes.Buffer
		log, err := telemetry.NewLogger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("quiet")
		log.Info("claimed", telemetry.KeyPartition, 3, "access_token", "EAAB", "app_secret", "s3cret")
		got := out.String()
		if !strings.Contains(got, want) || strings.Contains(got, "quiet") {
			t.Errorf("%s: %s", format, got)
		}
		if strings.Contains(got, "EAAB") || strings.Contains(got, "s3cret") {
			t.Errorf("%s shows a secret: %s", format, got)
		}
	}
}

func TestUnknownLogSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][2]string{{"xml", "info"}, {"text", "loud"}, {"", "info"}, {"json", ""}} {
		if _, err := telemetry.NewLogger(nil, args[0], args[1]); err == nil {
			t.Errorf("format %q, level %q: no error", args[0], args[1])
		}
	}
}
