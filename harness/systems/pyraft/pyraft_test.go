package pyraft

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"raftlab/harness"
	"raftlab/harness/internal/kvdtest"
	"raftlab/harness/process"
	"raftlab/linearizability"
)

// raftd promises that the seed's documented calls work unchanged, so it must pass for a store with that API, asked by an
// adapter that knows nothing else of it.
func TestRaftdAsAStranger(t *testing.T) {
	binary, err := kvdtest.Build(t.TempDir(), "raftlab/node/cmd/raftd")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // the API has no flag for data: it goes where the member is started
	s := New(Options{Binary: binary})
	defer s.Close()
	c, err := process.Start(kvdtest.Deadline(t, 30*time.Second), s, process.Options{Nodes: 3, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, node := range harness.Names(c) {
		client, err := s.Dial(node, func(ctx context.Context) (string, error) { return c.Endpoint(ctx, node) })
		if err != nil {
			t.Fatal(err)
		}
		ops := kvdtest.AskEverything(t, s, client)
		if len(ops) != 8 {
			t.Errorf("%d operations", len(ops))
		}
		client.Close()
	}
}

func TestWhatAnAnswerLetsAClientConclude(t *testing.T) {
	get, put, del := linearizability.Get, linearizability.Put, linearizability.Delete
	ok, failed, unknown := linearizability.OK, linearizability.Failed, linearizability.Unknown
	for _, row := range []struct {
		kind linearizability.Kind
		code int
		said string
		want linearizability.Outcome
		got  string
	}{
		{get, 200, `"v1"`, ok, "v1"}, {get, 200, "v1\n", ok, "v1"}, {get, 404, "", ok, ""}, {get, 302, "", failed, ""}, {get, 500, "", failed, ""},
		{put, 200, `{"status":"ok","value":"v1"}`, ok, ""}, {put, 200, `{"status":"pending"}`, unknown, ""}, {put, 302, "", failed, ""}, {put, 404, "", unknown, ""},
		{put, 500, "", unknown, ""}, {del, 200, "", ok, ""}, {del, 404, "", unknown, ""}, {del, 503, "", unknown, ""},
	} {
		got := judge(linearizability.Operation{Kind: row.kind}, &http.Response{StatusCode: row.code, Header: http.Header{}}, []byte(row.said), nil)
		value := ""
		if got.Got != nil {
			value = *got.Got
		}
		if got.Outcome != row.want || value != row.got {
			t.Errorf("%s %d %s: %+v", row.kind, row.code, row.said, got)
		}
	}
	s := New(Options{Image: "x"})
	places := []harness.Place{{Name: "n1", Address: "10.0.0.11:8000"}, {Name: "n2", Address: "10.0.0.12:8000"}}
	if got := strings.Join(s.Spec(places[1], places).Args, " "); got != "--host 10.0.0.12 --port 8000 --join 10.0.0.11:8000" {
		t.Error(got)
	}
}
