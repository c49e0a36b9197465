package embedded_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/baton-router/baton/pkg/bus/embedded"
)

func TestBadOptionsAreAllNamed(t *testing.T) {
	t.Parallel()
	reader := []embedded.Reader{{Name: "acme", Password: "a"}}
	cases := map[string]struct {
		o    embedded.Options
		says []string
	}{
		"nothing":           {embedded.Options{}, []string{"no data directory"}},
		"public, bare":      {embedded.Options{Dir: "d", Listen: "0.0.0.0:4222"}, []string{"no readers", "no TLS"}},
		"every address":     {embedded.Options{Dir: "d", Listen: ":4222"}, []string{"no readers", "no TLS"}},
		"every address, 6":  {embedded.Options{Dir: "d", Listen: "[::]:4222", Readers: reader}, []string{"no TLS"}},
		"a name":            {embedded.Options{Dir: "d", Listen: "baton.example:4222", TLS: &tls.Config{}}, []string{"no readers"}},
		"no port":           {embedded.Options{Dir: "d", Listen: "127.0.0.1"}, []string{"port"}},
		"bad port":          {embedded.Options{Dir: "d", Listen: "127.0.0.1:70000"}, []string{`"70000"`}},
		"readers, no door":  {embedded.Options{Dir: "d", Readers: reader}, []string{"no listen address"}},
		"several bad names": {embedded.Options{Dir: "d", Listen: "127.0.0.1:0", Readers: []embedded.Reader{{Name: "a b"}, {Name: "baton", Password: "x"}, {Name: "r", Password: "x", Pages: []uint64{0}}, {Name: "r", Password: "x"}}}, []string{`"a b"`, "no password", `"baton" is taken`, "page 0", `"r" is taken`}},
	}
	for name, tc := range cases {
		_, err := embedded.Start(tc.o)
		if !errors.Is(err, embedded.ErrInvalid) {
			t.Errorf("%s: %v, wanted ErrInvalid", name, err)
			continue
		}
		for _, part := range tc.says {
			mustSay(t, name, err.Error(), part)
		}
	}
	if _, err := os.Stat("d"); err == nil {
		t.Error("a refused start has made the directory")
	}
}

func TestTakenPortIsATypedError(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dir := t.TempDir()
	_, err = embedded.Start(embedded.Options{Dir: dir, Listen: l.Addr().String()})
	if !errors.Is(err, embedded.ErrAddressInUse) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("%v, wanted ErrAddressInUse", err)
	}
	// The next port is tried with the same directory.
	if s := start(t, embedded.Options{Dir: dir, Listen: "127.0.0.1:0"}); s.Addr() == "" {
		t.Error("no address")
	}
}

func TestSecondStartOnADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Options{Dir: dir})
	for range 2 {
		_, err := embedded.Start(embedded.Options{Dir: dir})
		if !errors.Is(err, embedded.ErrLocked) {
			t.Fatalf("%v, wanted ErrLocked", err)
		}
		mustSay(t, "second start", err.Error(), dir)
		mustSay(t, "second start", err.Error(), strconv.Itoa(os.Getpid()))
	}
	s.Stop()
	s.Stop()
	start(t, embedded.Options{Dir: dir}).Stop()
}

// A directory that the caller has locked stays locked when the server stops.
func TestStartOnALockedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := embedded.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		start(t, embedded.Options{Dir: dir, Lock: lock}).Stop()
		if _, err := embedded.LockDir(dir); !errors.Is(err, embedded.ErrLocked) {
			t.Errorf("%v, wanted ErrLocked", err)
		}
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

// The lock goes with the process that has it, and not before.
func TestLockEndsWithItsProcess(t *testing.T) {
	if dir := os.Getenv("BATON_TEST_LOCK"); dir != "" {
		holdLock(dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockEndsWithItsProcess$")
	child.Env = append(os.Environ(), "BATON_TEST_LOCK="+dir)
	out, err := child.StdoutPipe()
	if err := errors.Join(err, child.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	_, err = embedded.LockDir(dir)
	if !errors.Is(err, embedded.ErrLocked) {
		t.Errorf("%v, wanted ErrLocked", err)
	} else {
		mustSay(t, "lock", err.Error(), strconv.Itoa(child.Process.Pid))
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	lock, err := embedded.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.Release(), lock.Release()); err != nil {
		t.Error(err)
	}
}

// holdLock is the child process: it takes the lock, says so, and waits to be
// killed.
func holdLock(dir string) {
	lock, err := embedded.LockDir(dir)
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("locked\n")
	<-time.After(time.Minute)
	_ = lock.Release()
}

func TestUnusableDirectoryIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Start(embedded.Options{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as data directory: %v", err)
	}
}

func TestPublicAddressAsksForCredentials(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	s := start(t, embedded.Options{Listen: "0.0.0.0:0", TLS: server, Readers: []embedded.Reader{{Name: "acme", Password: "a", Pages: []uint64{1}}}})
	baton(t, s)
	if nc, err := nats.Connect(s.URL(), nats.Secure(client)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without credentials: %v, %v", nc, err)
	}
	if nc, err := nats.Connect(s.URL(), nats.Secure(client), nats.UserInfo("reader", "")); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("as reader: %v, %v", nc, err)
	}
	r := connect(t, s, nats.Secure(client), nats.UserInfo("acme", "a"))
	if got := fetch(t, durable(t, r, "acme", "baton.control.v1.*.1.>"), 1); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// certificates returns the two sides of a TLS connection to 127.0.0.1.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "baton test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return server, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}
