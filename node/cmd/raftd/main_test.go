package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the real program: what a user types is what is tested.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "raftd")
	if err == nil {
		err = os.Chmod(dir, 0o755) // one test runs it as another user
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "raftd")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// member is a running raftd.
type member struct {
	t       *testing.T
	address string
	data    string
	cmd     *exec.Cmd
	stderr  bytes.Buffer
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a member on a directory and waits until it is ready. An empty address means a free one.
func start(t *testing.T, address, data string, args ...string) *member {
	t.Helper()
	if address == "" {
		address = freeAddress(t)
	}
	m := launch(t, address, data, args...)
	m.awaitReady("--url", "http://"+address)
	return m
}

// launch runs a member without waiting for it.
func launch(t *testing.T, address, data string, args ...string) *member {
	t.Helper()
	m := &member{t: t, address: address, data: data}
	m.cmd = exec.Command(program, append([]string{"--listen", address, "--data", data}, args...)...)
	m.cmd.Stderr = &m.stderr
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.kill)
	return m
}

func (m *member) awaitReady(how ...string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		out, err := exec.CommandContext(ctx, program, append([]string{"health", "--ready"}, how...)...).CombinedOutput()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			m.kill()
			m.t.Fatalf("not ready: %s\n%s", out, m.stderr.String())
		}
	}
}

func (m *member) kill() {
	if m.cmd.ProcessState == nil {
		m.cmd.Process.Kill()
		m.cmd.Wait()
	}
}

func (m *member) put(key, value string) {
	m.t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+m.address+"/"+key, strings.NewReader(value))
	if err != nil {
		m.t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(reply.Body)
		m.t.Fatalf("PUT %s: %s %s", key, reply.Status, body)
	}
}

func (m *member) get(key string) string {
	m.t.Helper()
	reply, err := http.Get("http://" + m.address + "/" + key)
	if err != nil {
		m.t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	if reply.StatusCode != http.StatusOK {
		return reply.Status
	}
	return string(body)
}

// TestBadInputIsOneClearSentence: the exit code, one line on stderr that says what is wrong, no stack trace, and
// nothing left on the disk that was not there.
func TestBadInputIsOneClearSentence(t *testing.T) {
	first := start(t, "", t.TempDir())
	other := start(t, "", t.TempDir())
	joined := start(t, "", t.TempDir(), "--join", first.address)
	joined.kill()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), []byte("dear"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(foreign, "letter.txt")
	readOnly := t.TempDir()
	if err := os.Chmod(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	fresh := func() string { return filepath.Join(t.TempDir(), "new") }
	free := freeAddress(t)

	for name, c := range map[string]struct {
		args []string
		code int
		says string
		data string // must not exist afterwards
	}{
		"unknown flag":           {[]string{"--colour", "red"}, 64, "flag not known: --colour", ""},
		"unknown command":        {[]string{"dance"}, 64, `unknown command "dance"`, ""},
		"argument too many":      {[]string{"--port", "8000", "now"}, 64, `unexpected argument "now"`, ""},
		"port not a number":      {[]string{"--port", "http"}, 64, `invalid value "http" for --port`, ""},
		"port out of range":      {[]string{"--port", "70000"}, 64, "--port 70000 must be from 1 to 65535", ""},
		"nobody can dial that":   {[]string{"--listen", "0.0.0.0:8000"}, 64, "--advertise", ""},
		"advertise no number":    {[]string{"--advertise", "n1:http"}, 64, "1 to 65535", ""},
		"advertise no host":      {[]string{"--advertise", "n1/x:8000"}, 64, "cannot be in a host name", ""},
		"number is no duration":  {[]string{"--join-timeout", "5"}, 64, `invalid value "5" for --join-timeout: must be a duration such as 500ms or 2s`, ""},
		"bool is no bool":        {[]string{"--bootstrap=maybe"}, 64, `invalid value "maybe" for --bootstrap: must be true or false`, ""},
		"snapshots backwards":    {[]string{"--snapshot-bytes", "-1"}, 64, "--snapshot-bytes -1", ""},
		"health in no time":      {[]string{"health", "--timeout", "0s"}, 64, "must be above zero", ""},
		"profiles nowhere":       {[]string{"--listen", free, "--data", fresh(), "--pprof", "127.0.0.1:99999"}, 1, "--pprof", "data"},
		"join without port":      {[]string{"--join", "n1"}, 64, `--join "n1" must be host:port of a member: missing port`, ""},
		"join itself":            {[]string{"--listen", free, "--join", free}, 64, "own address", ""},
		"heartbeat too slow":     {[]string{"--heartbeat", "400ms"}, 64, "must be at least three times --heartbeat", ""},
		"bootstrap alone":        {[]string{"--bootstrap"}, 64, "--bootstrap needs --join", ""},
		"profiles for everybody": {[]string{"--pprof", "0.0.0.0:6060"}, 64, "must be host:port on loopback", ""},
		"half of TLS":            {[]string{"--tls-cert", "x.pem"}, 64, "--tls-cert and --tls-key together", ""},
		"two places for data":    {[]string{"--data", "a", "--snapshot", "b"}, 64, "--data and --snapshot exclude each other", ""},
		"two tokens":             {[]string{"--token", "a", "--token-file", "b"}, 64, "exclude each other", ""},
		"an empty token":         {[]string{"--token", ""}, 64, "--token is empty: give it a value, or leave it out", ""},
		"no token file":          {[]string{"--token-file", "/nowhere/token"}, 64, "--token-file", ""},
		"not-leader":             {[]string{"--not-leader", "ignore"}, 64, "forward or redirect", ""},
		"version and more":       {[]string{"version", "x"}, 64, `unexpected argument "x"`, ""},
		"log level":              {[]string{"--log-level", "loud"}, 64, `invalid value "loud" for --log-level: least level that is logged: debug, info, warn or error`, ""},
		"join for no time":       {[]string{"--join", "n1:1", "--join-timeout", "-1s"}, 64, "must be above zero", ""},
		"log format":             {[]string{"--log", "xml"}, 64, "text or json", ""},
		"port in use":            {[]string{"--listen", first.address, "--data", fresh()}, 1, "port in use", "data"},
		"join nobody":            {[]string{"--listen", free, "--data", fresh(), "--join", "127.0.0.1:1", "--join-timeout", "300ms"}, 1, "no member of a cluster answers there", "data"},
		"join another cluster":   {[]string{"--listen", joined.address, "--data", joined.data, "--join", other.address}, 1, "but the data directory", ""},
		"data of another member": {[]string{"--listen", free, "--data", joined.data}, 1, "directory belongs to another member", ""},
		"data in use":            {[]string{"--listen", free, "--data", first.data}, 1, "in use by another process", ""},
		"data of something else": {[]string{"--listen", free, "--data", foreign}, 1, "holds files that are not a log", ""},
		"data is a file":         {[]string{"--listen", free, "--data", file}, 1, "not a directory", ""},
		"data not writable":      {[]string{"--listen", free, "--data", filepath.Join(readOnly, "x")}, 1, "permission denied", "data"},
		"wal what":               {[]string{"wal", "mend", foreign}, 64, "raftd wal dump DIR", ""},
		"wal of nothing":         {[]string{"wal", "verify", foreign}, 1, "", ""},
		"health of nobody":       {[]string{"health", "--url", "http://127.0.0.1:1"}, 1, "connection refused", ""},
		"health, unknown flag":   {[]string{"health", "--deep"}, 64, "flag not known: --deep", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, program, c.args...)
			cmd.Dir = t.TempDir()
			if name == "data not writable" && os.Getuid() == 0 {
				cmd.Dir = "/" // a test's own directory is closed to others
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.code {
				t.Fatalf("ended with %v, want exit code %d\n%s", err, c.code, stderr.String())
			}
			said := strings.TrimSpace(stderr.String())
			if strings.Count(said, "\n") > 0 || !strings.HasPrefix(said, "raftd: ") || !strings.Contains(said, c.says) {
				t.Errorf("said %q, want one line with %q", said, c.says)
			}
			if strings.Contains(said, "goroutine ") {
				t.Errorf("a stack trace: %s", said)
			}
			if c.data != "" {
				for i, a := range c.args {
					if a == "--data" {
						if _, err := os.Stat(c.args[i+1]); err == nil {
							t.Errorf("%s was made although nothing could be started", c.args[i+1])
						}
					}
				}
			}
		})
	}
	if got := other.get("k"); got != "404 Not Found" {
		t.Errorf("a member that was named in all this no longer works: %s", got)
	}
}

// TestAcknowledgedWritesSurviveSIGKILL of every member at once, and a graceful stop.
func TestAcknowledgedWritesSurviveSIGKILL(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	first := start(t, "", dirs[0])
	members := []*member{first, start(t, "", dirs[1], "--join", first.address), start(t, "", dirs[2], "--join", first.address)}
	for round := range 3 {
		for i, m := range members {
			m.put(fmt.Sprintf("k%d", i), fmt.Sprintf("v%d.%d", i, round))
		}
		for _, m := range members {
			m.kill()
		}
		for i, m := range members {
			members[i] = launch(t, m.address, m.data)
		}
		for _, m := range members {
			m.awaitReady("--url", "http://"+m.address)
		}
		for i, m := range members {
			key, want := fmt.Sprintf("k%d", (i+1)%3), fmt.Sprintf("v%d.%d", (i+1)%3, round)
			if got := m.get(key); got != want {
				t.Fatalf("round %d: %s at %s is %q, want %q", round, key, m.address, got, want)
			}
		}
	}
	for _, m := range members {
		if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := m.cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, m.stderr.String())
		}
	}
}

// TestLostDiskOfTheFounderBringsNobodyDown: the member that started the cluster comes back without its disk. It must not
// start a second cluster at its old address, and the others must be able to restart.
func TestLostDiskOfTheFounderBringsNobodyDown(t *testing.T) {
	a, b, c := freeAddress(t), freeAddress(t), freeAddress(t)
	founder := start(t, a, t.TempDir(), "--join", b+","+c, "--bootstrap")
	second := start(t, b, t.TempDir(), "--join", a)
	third := start(t, c, t.TempDir(), "--join", a)
	founder.put("k", "v")
	founder.kill()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	anew := exec.CommandContext(ctx, program, "--listen", a, "--data", filepath.Join(t.TempDir(), "new"), "--join", b+","+c, "--bootstrap")
	out, err := anew.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "remove the old member first") {
		t.Fatalf("the founder without its disk: %v\n%s", err, out)
	}
	third.kill()
	third = start(t, c, third.data, "--join", a)
	third.put("k2", "v2")
	if got := second.get("k"); got != "v" {
		t.Fatalf("k is %q", got)
	}
}

// TestMemberThatWasAboutToJoinFoundsNothing: somebody may count on it already.
func TestMemberThatWasAboutToJoinFoundsNothing(t *testing.T) {
	first := start(t, "", t.TempDir())
	data := t.TempDir()
	// A cluster of one whose only other voter is gone cannot admit anybody: the joiner stays a stranger.
	gone := start(t, "", t.TempDir(), "--join", first.address)
	gone.kill()
	joiner := launch(t, freeAddress(t), data, "--join", first.address)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if logs, err := filepath.Glob(filepath.Join(data, "*.wal")); err == nil && len(logs) > 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the joiner made no directory: %s", joiner.stderr.String())
		}
	}
	joiner.kill()
	out, err := exec.CommandContext(ctx, program, "--listen", joiner.address, "--data", data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "about to join a cluster") {
		t.Fatalf("without --join it did: %v\n%s", err, out)
	}
}

// TestRefusedStreamsAnswerInTheShapeOfErrors: the routes of members too, for who finds them with curl.
func TestRefusedStreamsAnswerInTheShapeOfErrors(t *testing.T) {
	m := start(t, "", t.TempDir())
	for _, c := range []struct {
		method, path, says string
		status             int
	}{
		{http.MethodGet, "/__pyraft/stream", "this member speaks raftlab-peer/1", http.StatusUpgradeRequired},
		{http.MethodPost, "/__pyraft/snapshot/stream", "header Raftlab-From must be a hexadecimal id", http.StatusBadRequest},
	} {
		request, err := http.NewRequest(c.method, "http://"+m.address+c.path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		var body struct {
			Error, Message string
			Definite       bool
			RequestID      string `json:"request_id"`
		}
		err = json.NewDecoder(reply.Body).Decode(&body)
		if err != nil || reply.StatusCode != c.status || body.Error != "stream_refused" || !body.Definite || body.RequestID == "" || !strings.Contains(body.Message, c.says) {
			t.Errorf("%s %s: %s %+v (%v), want %d and %q", c.method, c.path, reply.Status, body, err, c.status, c.says)
		}
	}
}
