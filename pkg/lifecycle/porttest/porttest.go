// Package porttest finds addresses for servers that another process opens later,
// or opens again: a node that a test kills and starts, a database, a cluster whose
// members know each other's addresses before they run.
//
// A port that was free a moment ago is no such address. The system gives the ports
// of its own range (32768 and above, on Linux) to any outgoing connection, and two
// processes that look at the same time find the same. The ports given here lie
// below that range, and each is also bound in UDP, which nobody here speaks, by who
// asked for it: the others that ask see that it is taken, and the end of the
// process gives it back.
//
// The rule of the package: only tests and tools stand on it.
package porttest

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are chosen from this range, the second excluded: above the usual ports of
// servers, Baton's own and those of its NATS included, and below what systems give
// to outgoing connections.
const first, last = 12_000, 30_000

// held keeps the sockets from being collected, and so closed.
var held struct { //nolint:gochecknoglobals // what a process holds until its end
	sync.Mutex
	sockets []net.PacketConn
}

// Reserve returns n loopback addresses, "127.0.0.1:port", on which nothing listens
// and which no other caller is given, in this process or another, before this one
// has ended. It fails when the range is used up. It does not block.
func Reserve(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		address, err := reserve()
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func reserve() (string, error) {
	var err error
	for range last - first {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first))) //nolint:gosec // no secret
		if err = take(address); err == nil {
			return address, nil
		}
	}
	return "", errors.New("no free port from " + strconv.Itoa(first) + " to " + strconv.Itoa(last) + ": " + err.Error())
}

func take(address string) error {
	socket, err := net.ListenPacket("udp", address) //nolint:noctx // returns at once
	if err != nil {
		return err
	}
	server, err := net.Listen("tcp", address) //nolint:noctx // returns at once
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	held.Lock()
	held.sockets = append(held.sockets, socket)
	held.Unlock()
	return server.Close()
}
