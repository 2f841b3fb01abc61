package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBadArgumentsAreUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"cut"}, {"cut", "--peer", "n1"}, {"cut", "--peer", "10.0.0.1/up"}, {"cut", "--peer", "::1"},
		{"cut", "--peer", "10.0.0.1", "extra"}, {"cut", "--port", "1"}, {"heal", "now"}, {"mend"},
	} {
		if err := run(args, nil, &bytes.Buffer{}); !errors.Is(err, errUsage) {
			t.Errorf("agent %s: %v", strings.Join(args, " "), err)
		}
	}
}

func TestPeerWithoutDirectionIsBoth(t *testing.T) {
	drops, err := parseDrops("cut", []string{"--peer", "10.0.0.1", "--peer", "10.0.0.2/in"})
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	want := []Drop{{one, in}, {one, out}, {two, in}}
	if err != nil || fmt.Sprint(drops) != fmt.Sprint(want) {
		t.Fatalf("%v %v, want %v", drops, err, want)
	}
}

const inNamespace = "RAFTLAB_AGENT_TEST_NAMESPACE"

func TestRulesInARealKernel(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		testRules(t)
		return
	}
	inOwnNamespace(t)
}

// inOwnNamespace runs the test again in a network namespace of its own, where rules harm nobody.
func inOwnNamespace(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("this user may not make a network namespace (%v); the container tests do the same", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func testRules(t *testing.T) {
	loopbackUp(t)
	peer, other := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")
	listener, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	do(t, "check")
	if c := counters(t); c.Table || len(c.Rules) != 0 {
		t.Fatalf("before: %+v", c)
	}
	do(t, "cut", "--peer", peer.String()+"/out")
	do(t, "cut", "--peer", peer.String()+"/out", "--peer", other.String()+"/in") // the first is cut already
	if err := send("127.0.0.1", peer.String()+":9"); err == nil {
		t.Error("a packet to the cut peer was sent")
	}
	if err := send(other.String(), listener.LocalAddr().String()); err != nil {
		t.Error(err) // dropped where it comes in: the sender does not know
	}
	if err := send(peer.String(), listener.LocalAddr().String()); err != nil {
		t.Errorf("the other direction is cut as well: %v", err)
	}
	c := counters(t)
	if !c.Table || len(c.Rules) != 2 || c.Rules[0].Drop != (Drop{other, in}) || c.Rules[1].Drop != (Drop{peer, out}) ||
		c.Rules[0].Packets != 1 || c.Rules[1].Packets != 1 || c.Rules[1].Bytes == 0 {
		t.Fatalf("during: %+v", c)
	}
	do(t, "heal", "--peer", peer.String()+"/out")
	if err := send("127.0.0.1", peer.String()+":9"); err != nil {
		t.Errorf("the healed peer: %v", err)
	}
	if c := counters(t); len(c.Rules) != 1 || c.Rules[0].Drop != (Drop{other, in}) || c.Rules[0].Packets != 1 {
		t.Fatalf("the other rule: %+v", c)
	}
	do(t, "cut", "--peer", peer.String()+"/out")
	do(t, "heal", "--peer", other.String(), "--peer", peer.String()) // the last rule takes the table with it
	if c := counters(t); c.Table {
		t.Fatalf("after both were healed: %+v", c)
	}
	do(t, "cut", "--peer", peer.String())
	do(t, "heal")
	do(t, "heal") // nothing to heal is healed
	if c := counters(t); c.Table {
		t.Fatalf("after: %+v", c)
	}
	if err := send("127.0.0.1", peer.String()+":9"); err != nil {
		t.Errorf("after: %v", err)
	}
}

func do(t *testing.T, args ...string) {
	t.Helper()
	if err := run(args, nil, &bytes.Buffer{}); err != nil {
		t.Fatalf("agent %s: %v", strings.Join(args, " "), err)
	}
}

func counters(t *testing.T) Counters {
	t.Helper()
	var out bytes.Buffer
	var c Counters
	if err := run([]string{"counters"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(from, to string) error {
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("udp4", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("x"))
	return err
}

// loopbackUp does what `ip link set lo up` does.
func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}
