package graphapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestDateIsThatOfTheSecond(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 22, 23, 59, 59, 999_999_999, time.FixedZone("elsewhere", 3600))
	for now, want := range map[time.Time]string{
		begin:                                "Sun, 22 Nov 2026 22:59:59 GMT",
		begin.Add(time.Nanosecond):           "Sun, 22 Nov 2026 23:00:00 GMT",
		begin.Add(-999 * time.Millisecond):   "Sun, 22 Nov 2026 22:59:59 GMT",
		begin.Add(time.Hour + time.Second/2): "Mon, 23 Nov 2026 00:00:00 GMT",
	} {
		if got := date(now); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", now, got, want)
		}
	}
}

// TestRepliesNameTheirLengthAndDate: over HTTP, whatever the length; nothing is
// sent in chunks.
func TestRepliesNameTheirLengthAndDate(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, autoLength - 1, autoLength, autoLength + 1, 100_000} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			success(bytes.Repeat([]byte{'x'}, n)).write(w)
		}))
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
			r, err := http.NewRequestWithContext(context.Background(), method, server.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now().Truncate(time.Second)
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.Body.Close() != nil || resp.ContentLength != int64(n) || method != http.MethodHead && len(body) != n {
				t.Errorf("%s of %d bytes: length %d, %d bytes, %v", method, n, resp.ContentLength, len(body), err)
			}
			at, err := http.ParseTime(resp.Header.Get("Date"))
			if err != nil || len(resp.Header["Date"]) != 1 || at.Before(before) || at.After(time.Now()) {
				t.Errorf("date %q, %v", resp.Header["Date"], err)
			}
		}
		server.Close()
	}
}
