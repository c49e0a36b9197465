package porttest

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// askEnv makes the test binary ask for addresses, print them and wait for the end
// of its input.
const askEnv = "BATON_TEST_PORTS"

func TestMain(m *testing.M) {
	if os.Getenv(askEnv) == "" {
		os.Exit(m.Run())
	}
	addresses, err := Reserve(3)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(strings.Join(addresses, " ") + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestReservedAddressIsFreeAndBelowOutgoingPorts(t *testing.T) {
	t.Parallel()
	addresses, err := Reserve(20)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC() // what nothing refers to is closed
	for _, address := range addresses {
		_, text, err := net.SplitHostPort(address)
		if port, _ := strconv.Atoi(text); err != nil || port < 12_000 || port >= 30_000 {
			t.Errorf("address %s", address)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Errorf("reserved and not free: %v", err)
			continue
		}
		_ = l.Close()
		if err := take(address); err == nil {
			t.Errorf("%s is given twice", address)
		}
	}
}

func TestAddressOfAnotherProcessIsNotGivenUntilItEnds(t *testing.T) {
	t.Parallel()
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), askEnv+"=1")
	input, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1024)
	n, err := output.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Fields(string(said[:n]))
	if len(theirs) != 3 {
		t.Fatalf("the other process said %q", said[:n])
	}
	for _, address := range theirs {
		if err := take(address); err == nil {
			t.Errorf("%s is given to two processes", address)
		}
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, address := range theirs {
		if err := take(address); err != nil {
			t.Errorf("nobody has %s any more: %v", address, err)
		}
	}
}

func TestTakenPortIsNotReserved(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := take(l.Addr().String()); err == nil {
		t.Errorf("%s is reserved, and a server has it", l.Addr())
	}
}
