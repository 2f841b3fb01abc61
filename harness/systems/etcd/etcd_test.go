package etcd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
	"raftlab/harness/process"
	"raftlab/internal/needs"
	"raftlab/linearizability"
)

// The real etcd takes a minute or more to compile, and so is only there where somebody has built it; CI builds it first.
func start(t *testing.T, o Options) (*System, *process.Cluster) {
	t.Helper()
	o.Binary = os.Getenv("RAFTLAB_ETCD")
	if o.Binary == "" {
		needs.Machine(t, errors.New("no etcd: make etcd && RAFTLAB_ETCD=$PWD/bin/etcd go test ./harness/systems/etcd"))
	}
	s := New(o)
	t.Cleanup(s.Close)
	c, err := process.Start(kvdtest.Deadline(t, 60*time.Second), s, process.Options{Nodes: 3, Dir: t.TempDir(), Grace: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return s, c
}

func dial(t *testing.T, s *System, c harness.Cluster, node string) harness.Client {
	t.Helper()
	client, err := s.Dial(node, func(ctx context.Context) (string, error) { return c.Endpoint(ctx, node) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestAdapterAgainstTheRealEtcd(t *testing.T) {
	s, c := start(t, Options{})
	leader, status, err := harness.AwaitLeader(kvdtest.Deadline(t, 20*time.Second), c, s)
	if err != nil || status.Term == 0 || status.ID == "" {
		t.Fatalf("leader %s: %+v %v", leader, status, err)
	}
	ops := kvdtest.AskEverything(t, s, dial(t, s, c, other(c, leader)))
	statuses, err := harness.AwaitConverged(kvdtest.Deadline(t, 20*time.Second), c, s)
	if err != nil || statuses["n1"].Hash == "" {
		t.Fatalf("%+v %v", statuses, err)
	}
	logs, failed, err := harness.ReadLogs(kvdtest.Deadline(t, 20*time.Second), c, s)
	if err != nil || len(failed) > 0 || len(logs) != 3 || len(logs[0].Entries) != 4 { // two puts, a swap, a delete
		t.Fatalf("logs %+v %v %v", logs, failed, err)
	}
	r := linearizability.Witness(ops, logs)
	if r.Verdict != linearizability.Pass || r.Seen.Logs != 3 || r.Seen.Writes != 4 {
		t.Errorf("the claimed order: %+v", r)
	}
}

// A member that is cut off answers a serializable read with what it has: that is what the lab convicts.
func TestASerializableReadIsStaleOnAMemberThatIsCutOff(t *testing.T) {
	s, c := start(t, Options{Serializable: true})
	leader, _, err := harness.AwaitLeader(kvdtest.Deadline(t, 20*time.Second), c, s)
	if err != nil {
		t.Fatal(err)
	}
	lonely := other(c, leader)
	put := linearizability.Operation{ID: 1, Kind: linearizability.Put, Key: "k", Value: "old"}
	if got := dial(t, s, c, lonely).Do(kvdtest.Deadline(t, 5*time.Second), put); got.Outcome != linearizability.OK {
		t.Fatalf("%+v", got)
	}
	var links []harness.Link
	for _, node := range harness.Names(c) {
		if node != lonely {
			links = append(links, harness.Link{From: node, To: lonely}, harness.Link{From: lonely, To: node})
		}
	}
	if _, err := c.Cut(t.Context(), links); err != nil {
		t.Fatal(err)
	}
	put.Value = "new"
	if got := dial(t, s, c, leader).Do(kvdtest.Deadline(t, 5*time.Second), put); got.Outcome != linearizability.OK {
		t.Fatalf("%+v", got)
	}
	get := linearizability.Operation{ID: 2, Kind: linearizability.Get, Key: "k"}
	if got := dial(t, s, c, lonely).Do(kvdtest.Deadline(t, 5*time.Second), get); got.Outcome != linearizability.OK || got.Got == nil || *got.Got != "old" {
		t.Fatalf("%+v", got)
	}
}

func other(c harness.Cluster, than string) string {
	for _, node := range harness.Names(c) {
		if node != than {
			return node
		}
	}
	return ""
}

// What each answer of the gateway lets a client conclude, without etcd.
func TestAnswersOfTheGateway(t *testing.T) {
	const header = `"header":{"member_id":"7","revision":"12","raft_term":"3"}`
	get, put, del, cas := linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS
	for _, row := range []struct {
		kind linearizability.Kind
		code int
		body string
		want linearizability.Result
	}{
		{get, 200, `{` + header + `,"kvs":[{"key":"aw==","value":"djE=","mod_revision":"9"}],"count":"1"}`,
			linearizability.Result{Outcome: linearizability.OK, Got: linearizability.Value("v1"), Version: 9}},
		{get, 200, `{` + header + `}`, linearizability.Result{Outcome: linearizability.OK}},
		{get, 503, `{"code":14}`, linearizability.Result{Outcome: linearizability.Failed}},
		{get, 200, `{"hea`, linearizability.Result{Outcome: linearizability.Failed}},
		{put, 200, `{` + header + `}`, linearizability.Result{Outcome: linearizability.OK}},
		{put, 503, `{"code":14,"message":"etcdserver: leader changed"}`, linearizability.Result{Outcome: linearizability.Unknown}},
		{put, 429, `{"code":8,"message":"etcdserver: too many requests"}`, linearizability.Result{Outcome: linearizability.Failed}},
		{put, 200, `{"hea`, linearizability.Result{Outcome: linearizability.Unknown}},
		{del, 200, `{` + header + `,"deleted":"1"}`, linearizability.Result{Outcome: linearizability.OK}},
		{del, 200, `{` + header + `}`, linearizability.Result{Outcome: linearizability.OK, NoEffect: true}},
		{cas, 200, `{` + header + `,"succeeded":true,"responses":[{"response_put":{}}]}`, linearizability.Result{Outcome: linearizability.OK, Swapped: true}},
		{cas, 200, `{` + header + `,"responses":[{"response_range":{"kvs":[{"mod_revision":"9"}]}}]}`, linearizability.Result{Outcome: linearizability.OK, Version: 9}},
	} {
		var asked string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent, _ := io.ReadAll(r.Body)
			asked = r.Method + " " + r.URL.Path + " " + string(sent)
			w.WriteHeader(row.code)
			io.WriteString(w, row.body)
		}))
		client, err := New(Options{Serializable: row.code == 200}).Dial("n1", func(context.Context) (string, error) { return server.Listener.Addr().String(), nil })
		if err != nil {
			t.Fatal(err)
		}
		got := client.Do(t.Context(), linearizability.Operation{ID: 1, Kind: row.kind, Key: "k", Value: "v2", Expect: "v1"})
		client.Close()
		server.Close()
		same := got.Outcome == row.want.Outcome && got.Swapped == row.want.Swapped && got.NoEffect == row.want.NoEffect && got.Version == row.want.Version &&
			(got.Got == nil) == (row.want.Got == nil) && (got.Got == nil || *got.Got == *row.want.Got)
		if !same || got.Outcome == linearizability.OK && (got.Index != 12 || got.Term != 0) || (got.Error == "") != (got.Outcome == linearizability.OK) {
			t.Errorf("%s %d %s: %+v, want %+v", row.kind, row.code, row.body, got, row.want)
		}
		if row.kind == get && strings.Contains(asked, `"serializable":true`) != (row.code == 200) {
			t.Errorf("asked %s", asked)
		}
	}
}

// Peers are dialled by name through the relay of the process world, and by address in containers.
func TestPeersAndClientsHavePortsOfTheirOwn(t *testing.T) {
	s := New(Options{})
	relayed := []harness.Place{{Name: "n1", Address: "127.0.0.1:7001", Listen: "127.0.0.1:7001", Data: "/d", PeerProxy: "127.0.0.1:9"}, {Name: "n2", Address: "127.0.0.1:7002", PeerProxy: "127.0.0.1:10"}}
	want := "--name n1 --data /d/etcd --client 127.0.0.2:7001 --peer 127.0.0.1:7001 --advertise https://n1:7001 --cluster n1=https://n1:7001,n2=https://n2:7002 --peer-proxy 127.0.0.1:9"
	if got := strings.Join(s.Spec(relayed[0], relayed).Args, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := s.at("127.0.0.1:7001"); got != "127.0.0.2:7001" {
		t.Errorf("clients at %s", got)
	}
	s = New(Options{})
	boxed := []harness.Place{{Name: "n1", Address: "10.0.0.11:8000", Listen: "0.0.0.0:8000", Data: "/data"}}
	want = "--name n1 --data /data/etcd --client 0.0.0.0:8000 --peer 0.0.0.0:2380 --advertise http://10.0.0.11:2380 --cluster n1=http://10.0.0.11:2380"
	if got := strings.Join(s.Spec(boxed[0], boxed).Args, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := s.at("127.0.0.1:32768"); got != "127.0.0.1:32768" {
		t.Errorf("clients at %s", got)
	}
}
