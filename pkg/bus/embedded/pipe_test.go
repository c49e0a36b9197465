package embedded

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestPipeCarriesBytes writes more than a pipe holds, both ways, in pieces of
// any size.
func TestPipeCarriesBytes(t *testing.T) {
	t.Parallel()
	client, served := newPipe()
	for i, ends := range [][2]net.Conn{{client, served}, {served, client}} {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		data := make([]byte, 3*pipeFull)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(data) // never fails
		go func() {
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(200<<10))
				if _, err := ends[0].Write(rest[:n]); err != nil {
					t.Error(err)
				}
				rest = rest[n:]
			}
		}()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(ends[1], got); err != nil || !bytes.Equal(got, data) {
			t.Fatal("other bytes come out", err)
		}
	}
}

func TestPipeKeepsWhatWasWrittenBeforeItsEnd(t *testing.T) {
	t.Parallel()
	client, served := newPipe()
	if _, err := client.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(served); string(got) != "last words" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := served.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Error("write to a closed end:", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Error("read from a closed end:", err)
	}
}

// TestPipeEndsWhoWaits: by the end of the pipe, and by deadlines, set before and
// meanwhile.
func TestPipeEndsWhoWaits(t *testing.T) {
	t.Parallel()
	read := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	write := func(c net.Conn) error {
		for { // until it is full
			if _, err := c.Write(make([]byte, pipeFull)); err != nil {
				return err
			}
		}
	}
	past, soon := func() time.Time { return time.Unix(1, 0) }, func() time.Time { return time.Now().Add(time.Second) }
	for name, c := range map[string]struct {
		wait func(net.Conn) error
		end  func(client, served net.Conn) error
		want error
	}{
		"read, other end closed":  {read, func(_, served net.Conn) error { return served.Close() }, io.EOF},
		"read, own end closed":    {read, func(client, _ net.Conn) error { return client.Close() }, io.ErrClosedPipe},
		"read, deadline past":     {read, func(client, _ net.Conn) error { return client.SetReadDeadline(past()) }, os.ErrDeadlineExceeded},
		"read, deadline to come":  {read, func(client, _ net.Conn) error { return client.SetDeadline(soon()) }, os.ErrDeadlineExceeded},
		"write, other end closed": {write, func(_, served net.Conn) error { return served.Close() }, io.ErrClosedPipe},
		"write, own end closed":   {write, func(client, _ net.Conn) error { return client.Close() }, io.ErrClosedPipe},
		"write, deadline past":    {write, func(client, _ net.Conn) error { return client.SetWriteDeadline(past()) }, os.ErrDeadlineExceeded},
		"write, deadline to come": {write, func(client, _ net.Conn) error { return client.SetDeadline(soon()) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, served := newPipe()
				got := make(chan error, 1)
				go func() { got <- c.wait(client) }()
				synctest.Wait()
				if err := c.end(client, served); err != nil {
					t.Fatal(err)
				}
				if err := <-got; !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			})
		})
	}
}
