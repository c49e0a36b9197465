package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// natsServer runs a NATS server until the test ends.
func natsServer(t *testing.T, config string, environment ...string) {
	t.Helper()
	program, err := builtNATS()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", config)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), environment...), log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s:\n%s", config, text[max(0, len(text)-3000):])
		}
		_ = log.Close()
	})
}

// natsRequest asks a server one question, in its own protocol, as user baton.
func natsRequest(ctx context.Context, address, subject, body string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	_, err = fmt.Fprintf(conn, "CONNECT {\"user\":\"baton\",\"pass\":\"secret\",\"verbose\":false}\r\nSUB answer 1\r\nPUB %s answer %d\r\n%s\r\n", subject, len(body), body)
	if err != nil {
		return "", err
	}
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return "", err
		}
		switch {
		case strings.HasPrefix(line, "PING"):
			_, _ = fmt.Fprint(conn, "PONG\r\n")
		case strings.HasPrefix(line, "MSG answer"):
			return lines.ReadString('\n')
		}
	}
}

// awaitAnswer repeats a question until the answer matches.
func awaitAnswer(t *testing.T, address, subject, body, pattern string) {
	t.Helper()
	var last string
	await(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		answer, err := natsRequest(ctx, address, subject, body)
		last = fmt.Sprint(answer, err)
		return regexp.MustCompile(pattern).MatchString(last)
	}, func() string { return fmt.Sprintf("%s: want %q in %s", subject, pattern, last) })
}

const firstSite = `
server_name: first
listen: %q
max_payload: 9MB
jetstream { store_dir: %q, sync_interval: always, domain: first }
leafnodes { listen: %q }
accounts { BATON { jetstream: enabled, users: [{user: baton, password: secret}] } }
`

// TestSecondSite: mirrors on another site's server, made as deploy/nats says,
// hold the log that the first site has, and go on being readable when it is gone.
func TestSecondSite(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	first, leaf, second := freePort(t), freePort(t), freePort(t)
	siteConfig := write(t, w.dir, "first.conf", fmt.Sprintf(firstSite, first, filepath.Join(w.dir, "first"), leaf))
	natsServer(t, siteConfig)
	natsServer(t, filepath.Join("..", "..", "deploy", "nats", "second-site.conf"), "NATS_NAME=second", "NATS_CLIENT="+second,
		"NATS_STORE="+filepath.Join(w.dir, "second"), "BATON_PASSWORD=secret", "NATS_FIRST=nats-leaf://baton:secret@"+leaf)
	awaitAnswer(t, first, "$JS.API.INFO", "", `"domain":"first"`)
	awaitAnswer(t, second, "$JS.API.INFO", "", `"domain":"second"`)
	awaitAnswer(t, second, "$JS.first.API.INFO", "", `"domain":"first"`)

	configure := func(name, address string) string {
		var b configText
		b.line(0, "data_dir: %q", filepath.Join(w.dir, name))
		b.line(0, "listen: {public: %q, admin: %q}", w.public, w.admin)
		b.line(0, "nats: {url: %q, user: baton, password: secret}", "nats://"+address)
		b.line(0, "durability: node")
		w.settings(&b, crashPartitions)
		return write(t, w.dir, name+".yaml", b.String())
	}
	w.config = configure("here", first)
	there := configure("there", second)
	node := w.start("", 0)
	node.awaitReady()
	for _, stream := range []string{"BATON_LOG", "BATON_IN", "BATON_CONTROL", "BATON_ROSTER", "BATON_LETTERS"} {
		awaitAnswer(t, second, "$JS.API.STREAM.CREATE."+stream, fmt.Sprintf(
			`{"name":%q,"storage":"file","num_replicas":1,"mirror":{"name":%[1]q,"external":{"api":"$JS.first.API"}}}`, stream), `"created"|10058`)
	}
	l := newLoad(w)
	l.until(func() { awaitMessages(t, l, 60) })
	w.settle(l)
	w.awaitQuiet()
	dir := filepath.Join(w.dir, "backup")
	if a := baton(t.Context(), "backup", dir, "--config", w.config); a.code != exitDone {
		t.Errorf("backup of NATS servers: %+v", a)
	}
	node.stop()

	here := baton(t.Context(), "replay", "--config", w.config)
	stored := baton(t.Context(), "replay", "--data-dir", filepath.Join(w.dir, "here"))
	if here.code != exitDone || digestIn(here.out) == "" || digestIn(here.out) != digestIn(stored.out) {
		t.Fatalf("the streams: %+v\nthe store: %+v", here, stored)
	}
	var mirrored answer
	await(t, func() bool {
		mirrored = baton(t.Context(), "replay", "--config", there)
		return digestIn(mirrored.out) == digestIn(here.out)
	}, func() string { return fmt.Sprintf("here %+v\nthere %+v", here, mirrored) })
	verified := baton(t.Context(), "log", "verify", "--config", there)
	if verified.code != exitDone || !strings.Contains(verified.out, "intact") || verified.out != baton(t.Context(), "log", "verify", "--config", w.config).out {
		t.Errorf("verify: %+v", verified)
	}
	t.Log(mirrored.out, verified.out)
	wantFailure(t, baton(t.Context(), "backup", dir+"2", "--config", there), exitUsage, "stream missing: BATON_CURSOR")
	if a := baton(t.Context(), "serve", "--config", there); a.code != exitUsage || !strings.Contains(a.errors, "BATON_CURSOR is gone although") {
		t.Errorf("serve on mirrors: %+v", a)
	}
	wantFailure(t, baton(t.Context(), "restore", dir, "--config", w.config), exitUsage, "not empty")
}
