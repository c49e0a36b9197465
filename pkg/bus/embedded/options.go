package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Identities of the server.
const (
	// UserBaton is the identity of this process: in process only, everything.
	UserBaton = "baton"
	// UserReader is the identity of connections without credentials, on a
	// loopback address only.
	UserReader = "reader"
)

// ErrInvalid is returned by Start for options that can never work; the text
// lists every fault.
var ErrInvalid = errors.New("embedded NATS: invalid options")

// Options of a server.
type Options struct {
	// Dir is the data directory. Streams live in its folder nats, the lock in its
	// file LOCK; both are made when missing.
	Dir string
	// Lock is the caller's lock of Dir, which outlives the server; with nil the
	// server takes it, and releases it.
	Lock *Lock
	// Listen is the host:port for consumers of the control-change topic; port 0
	// takes a free one, "" means in process only.
	Listen string
	// Sync makes every acknowledgement wait for fsync. Off only in class dev.
	Sync bool
	// Readers may connect with name and password.
	Readers []Reader
	// TLS is required, together with Readers, when Listen is not a loopback
	// address.
	TLS *tls.Config
	// Password of User, for one that is started again while its clients live on;
	// empty for a random one.
	Password string
	// Logger gets the server's warnings and errors; nil means none.
	Logger *slog.Logger
}

// Reader is a consumer of the control-change topic with credentials.
type Reader struct {
	// Name and Password are what it connects with. The names baton and reader are
	// taken.
	Name, Password string
	// Pages it may read; none means all. A reader with pages names its durable
	// consumers NAME or NAME-1 to NAME-9, and gives its ordered consumers the
	// prefix NAME (they become NAME_1 to NAME_256), so that no other can read what
	// its consumers get; every consumer says which subjects it wants.
	Pages []uint64
}

// Validate returns an ErrInvalid that lists every fault.
func (o Options) Validate() error {
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("no data directory"))
	}
	faults = append(faults, o.checkReaders()...)
	if o.Listen == "" {
		if len(o.Readers) > 0 {
			faults = append(faults, errors.New("readers but no listen address"))
		}
	} else if host, _, err := o.address(); err != nil {
		faults = append(faults, err)
	} else if !isLoopback(host) {
		faults = append(faults, o.checkPublic()...)
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// checkPublic: what an address that others can reach must have.
func (o Options) checkPublic() []error {
	var faults []error
	if len(o.Readers) == 0 {
		faults = append(faults, fmt.Errorf("listen address %s is not loopback and there are no readers", o.Listen))
	}
	if o.TLS == nil {
		faults = append(faults, fmt.Errorf("listen address %s is not loopback and there is no TLS", o.Listen))
	}
	return faults
}

func (o Options) checkReaders() []error {
	var faults []error
	names := map[string]bool{UserBaton: true, UserReader: true}
	for i, r := range o.Readers {
		switch {
		case r.Name == "" || strings.ContainsFunc(r.Name, notInName):
			faults = append(faults, fmt.Errorf("reader %d: name %q, wanted letters, digits, - and _", i+1, r.Name))
		case names[r.Name]:
			faults = append(faults, fmt.Errorf("reader %d: name %q is taken", i+1, r.Name))
		}
		names[r.Name] = true
		if r.Password == "" {
			faults = append(faults, fmt.Errorf("reader %d (%s): no password", i+1, r.Name))
		}
		for _, page := range r.Pages {
			if page == 0 {
				faults = append(faults, fmt.Errorf("reader %d (%s): page 0", i+1, r.Name))
			}
		}
	}
	return faults
}

func notInName(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// address splits Listen.
func (o Options) address() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address: %w", err)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %s: port %q", o.Listen, text)
	}
	return host, port, nil
}

// isLoopback: an empty host listens on every address, and a name other than
// localhost may change its meaning.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
