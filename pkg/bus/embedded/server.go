package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// ErrAddressInUse is returned by Start when somebody else listens on
// Options.Listen. Nothing was started; another port may be tried.
var ErrAddressInUse = errors.New("listen address in use")

const (
	readyWithin = 30 * time.Second // recovery of large streams included
	maxPayload  = 9 << 20          // above bus.MaxRoster and its headers
	maxMemory   = 256 << 20        // consumers are kept in memory, streams never
)

// Server is a running NATS server. All methods are safe for concurrent use.
type Server struct {
	nats     *server.Server
	lock     *Lock // nil when it is the caller's
	password string
	readers  []Reader
	indexing sync.WaitGroup // keepIndexes
	unindex  context.CancelFunc
}

// Start locks the data directory, unless that is done, starts the server and returns when it serves.
// The caller stops it. Errors: ErrInvalid, ErrLocked, ErrAddressInUse.
func Start(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{password: cmp.Or(o.Password, rand.Text())}
	if o.Lock == nil {
		lock, err := LockDir(o.Dir)
		if err != nil {
			return nil, err
		}
		s.lock = lock
	}
	if err := s.start(o); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(o Options) error {
	opts, err := s.options(o)
	if err != nil {
		return err
	}
	if err := probe(o); err != nil {
		return err
	}
	s.nats, err = server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start embedded NATS: %w", err)
	}
	log := &logger{log: o.Logger, fatal: make(chan string, 1)}
	s.nats.SetLoggerV2(log, false, false, false)
	refreshIndexes(o)
	s.nats.Start()
	if err := s.ready(o, log); err != nil {
		return err
	}
	if o.Sync { // else refreshIndexes has no use for them
		var ctx context.Context
		ctx, s.unindex = context.WithCancel(context.Background())
		s.indexing.Go(func() { s.keepIndexes(ctx) })
	}
	return nil
}

// ready waits until the server serves, or says why it does not.
func (s *Server) ready(o Options, log *logger) error {
	ok := make(chan bool, 1)
	go func() { ok <- s.nats.ReadyForConnections(readyWithin) }() // ends within readyWithin
	select {
	case why := <-log.fatal:
		if err := probe(o); err != nil {
			return err
		}
		return fmt.Errorf("start embedded NATS: %s", why)
	case up := <-ok:
		if !up || !s.nats.JetStreamEnabled() {
			return fmt.Errorf("start embedded NATS: not ready within %s", readyWithin)
		}
		return nil
	}
}

// Stop ends the server and gives the data directory free, if it has locked it. It returns when the
// streams are closed; a second call does nothing.
func (s *Server) Stop() {
	if s.unindex != nil {
		s.unindex()
		s.indexing.Wait()
	}
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	_ = s.lock.Release()
}

// InProcessConn returns a new connection to the server. It is authenticated
// with User and Password like any other.
func (s *Server) InProcessConn() (net.Conn, error) {
	client, served := newPipe()
	go serveConn(s.nats, served) // returns when the server has taken it, or has closed it
	return client, nil
}

// User returns the name of Baton's own identity, which is accepted in process
// only.
func (s *Server) User() string { return UserBaton }

// Password returns the password of User, random at every start unless Options has
// one.
func (s *Server) Password() string { return s.password }

// Addr returns the address on which consumers are served, with the port that
// was taken; "" when the server is reachable in process only.
func (s *Server) Addr() string {
	if addr, ok := s.nats.Addr().(*net.TCPAddr); ok && addr != nil {
		return addr.String()
	}
	return ""
}

func (s *Server) options(o Options) (*server.Options, error) {
	store := filepath.Join(o.Dir, "nats")
	most, err := storeLimit(store)
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS: %w", err)
	}
	opts := &server.Options{
		ServerName:             "baton",
		DontListen:             o.Listen == "",
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               store,
		SyncAlways:             o.Sync,
		JetStreamMaxStore:      most,
		JetStreamMaxMemory:     maxMemory,
		MaxPayload:             maxPayload,
	}
	if err := setListener(opts, o); err != nil {
		return nil, err
	}
	s.readers = o.identities()
	return opts, setUsers(opts, o, s.password)
}

func setListener(opts *server.Options, o Options) error {
	if o.Listen == "" {
		return nil
	}
	host, port, err := o.address()
	if err != nil {
		return err
	}
	opts.Host, opts.Port = host, port
	if host == "" {
		opts.Host = "0.0.0.0"
	}
	if port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if o.TLS != nil {
		opts.TLSConfig, opts.TLSTimeout = o.TLS, 5
	}
	return nil
}

// probe reports a port that is taken before the server finds out: it would only
// log it.
func probe(o Options) error {
	if o.Listen == "" {
		return nil
	}
	_, port, err := o.address()
	if err != nil || port == 0 {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: %s", ErrAddressInUse, o.Listen)
	}
	if err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	return l.Close()
}

// storeLimit is what the streams may use on disk: what they use now and nine
// tenths of what is free. The server's own default forgets what is used
// already, so that a store above half of the disk would refuse writes after a
// restart.
func storeLimit(dir string) (int64, error) {
	used, err := sizeOf(dir)
	if err != nil {
		return 0, err
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(dir), &disk); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", filepath.Dir(dir), err)
	}
	free := int64(min(disk.Bavail, math.MaxInt64/uint64(disk.Bsize)) * uint64(disk.Bsize))
	return used + free/10*9, nil
}

func sizeOf(dir string) (int64, error) {
	var used int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		used += info.Size()
		return nil
	})
	return used, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// URL returns how consumers reach the server: nats://host:port, or "".
func (s *Server) URL() string {
	addr := s.Addr()
	if addr == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if _, err := strconv.Atoi(port); err != nil {
		return ""
	}
	return "nats://" + net.JoinHostPort(host, port)
}
