package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

func rowsOf(t *testing.T, l *store.DeliveryLog, since, until control.Millis, limit int) (rows []string) {
	t.Helper()
	err := l.Newest(since, until, func(at control.Millis, row []byte) (bool, error) {
		rows = append(rows, fmt.Sprintf("%d %s", at, bytes.TrimRight(row, "x")))
		return len(rows) < limit, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func appendRows(t *testing.T, l *store.DeliveryLog, at control.Millis, rows ...string) {
	t.Helper()
	raw := make([][]byte, len(rows))
	for i, r := range rows {
		raw[i] = []byte(r)
	}
	if err := l.Append(at, raw...); err != nil {
		t.Fatal(err)
	}
}

func openLog(t *testing.T, s *store.Store, maxBytes int64) *store.DeliveryLog {
	t.Helper()
	l, err := s.DeliveryLog(maxBytes, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDeliveryLogReadsNewestFirst(t *testing.T) {
	t.Parallel()
	disk := storetest.NewDisk().FS()
	s := open(t, disk)
	l := openLog(t, s, 1<<20)
	appendRows(t, l, 1000, "a", "b")
	appendRows(t, l, 2000, "c")
	appendRows(t, l, 1500, "late") // the clock went back; the log does not
	appendRows(t, l, 2000)
	want := []string{"2000 late", "2000 c", "1000 b", "1000 a"}
	if got := rowsOf(t, l, 0, 1<<40, 100); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := rowsOf(t, l, 1000, 2000, 1); !slices.Equal(got, want[2:3]) {
		t.Errorf("with bounds and limit %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, disk)
	l = openLog(t, s, 1<<20)
	appendRows(t, l, 2000, "d")
	if got := rowsOf(t, l, 0, 1<<40, 100); !slices.Equal(got, append([]string{"2000 d"}, want...)) {
		t.Errorf("after a restart %q", got)
	}
	if parts, err := s.Partitions(); err != nil || len(parts) != 0 {
		t.Errorf("the log shows as partitions %v, %v", parts, err)
	}
	closeStore(t, s)
}

func TestDeliveryLogIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	disk := storetest.NewDisk().FS()
	s := open(t, disk)
	l := openLog(t, s, limit)
	row := string(bytes.Repeat([]byte("x"), 1000))
	for i := range 500 {
		if i == 250 { // the bounds hold over a restart
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, disk)
			l = openLog(t, s, limit)
		}
		appendRows(t, l, control.Millis(1000+i), fmt.Sprint(i)+row)
		if n := l.Bytes(); n > limit {
			t.Fatalf("%d bytes after %d rows", n, i+1)
		}
	}
	rows := rowsOf(t, l, 0, 1<<40, 1000)
	if len(rows) < limit/1100*3/4 || len(rows) > limit/1000 || rows[0] != "1499 499" {
		t.Errorf("%d rows, newest %.20q", len(rows), rows[0])
	}
	l = openLog(t, s, limit/4) // smaller bounds than before
	appendRows(t, l, 5000, "z")
	if n := l.Bytes(); n > limit/4 {
		t.Errorf("%d bytes with smaller bounds", n)
	}
	closeStore(t, s)
}

func TestDeliveryLogIsBoundedByAge(t *testing.T) {
	t.Parallel()
	l := openLog(t, opened(t), 1<<20)
	const minute = 60_000
	for i := range control.Millis(180) {
		appendRows(t, l, i*minute, fmt.Sprint(i))
	}
	rows := rowsOf(t, l, -1<<40, 1<<40, 1000)
	if len(rows) < 60 || len(rows) > 66 {
		t.Errorf("%d rows of an hour, one a minute", len(rows))
	}
}

func TestDeliveryLogNeedsBounds(t *testing.T) {
	t.Parallel()
	s := opened(t)
	for _, c := range []struct {
		bytes int64
		age   time.Duration
	}{{0, time.Hour}, {1 << 20, 0}, {-1, time.Hour}} {
		if _, err := s.DeliveryLog(c.bytes, c.age); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
