package serve

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"raftlab/chaos/internal/browser"
	"raftlab/harness"
	"raftlab/harness/process"
	"raftlab/harness/systems/raftkv"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

// cluster starts five members of the real store.
func cluster(t *testing.T) (*process.Cluster, *raftkv.System) {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "raftd")
	if said, err := exec.Command("go", "build", "-o", binary, "raftlab/node/cmd/raftd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, said)
	}
	system := raftkv.New(raftkv.Options{Binary: binary})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := process.Start(ctx, system, process.Options{Nodes: 5, Dir: filepath.Join(dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
		system.Close()
	})
	return c, system
}

func leader(t *testing.T, c harness.Cluster, s harness.System) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	node, _, err := harness.AwaitLeader(ctx, c, s)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func endpoint(t *testing.T, c harness.Cluster, node string) string {
	t.Helper()
	at, err := c.Endpoint(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func writeKeys(t *testing.T, at string, n int) {
	t.Helper()
	for i := range n {
		request, err := http.NewRequestWithContext(t.Context(), "PUT", fmt.Sprintf("http://%s/v1/kv/key-%d", at, i), strings.NewReader("v"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 {
			t.Fatal(response.Status)
		}
	}
}

func shown(tab *browser.Tab, id string) string {
	return tab.Text("document.getElementById('" + id + "').textContent")
}

// The page of a member, while the leader that it shows is killed: it shows who leads then.
func TestAMembersPageShowsTheNewLeader(t *testing.T) {
	tab := browser.Open(t, 1280, "light")
	c, system := cluster(t)
	old := leader(t, c, system)
	other := map[string]string{"n1": "n2"}[old]
	if other == "" {
		other = "n1"
	}
	port := func(node string) string {
		for _, p := range c.Places() {
			if p.Name == node {
				_, port, _ := net.SplitHostPort(p.Address)
				return ":" + port
			}
		}
		return ""
	}
	writeKeys(t, endpoint(t, c, other), 100)
	tab.Do(chromedp.Navigate("http://" + endpoint(t, c, other) + "/"))
	tab.Await("it shows who leads", `document.getElementById("state").textContent.startsWith("`+port(old)+` leads in term ")`)
	tab.Await("all answer", `document.getElementById("pulse").textContent.startsWith("5 of 5 members answer, 5 vote")`)

	// Try it: a write and a read, as the curl line says.
	tab.Do(chromedp.Click(chromedp.CSS("#try button")))
	tab.Await("the write is answered", `document.getElementById("answer").textContent.startsWith("200 OK")`)
	if got := shown(tab, "curl"); got != "curl -fsS -X PUT -d hello http://"+endpoint(t, c, other)+"/v1/kv/greeting" {
		t.Errorf("curl line %q", got)
	}
	said, err := exec.Command("sh", "-c", strings.Replace(shown(tab, "curl"), "-X PUT -d hello ", "", 1)).Output()
	if err != nil || string(said) != "hello" {
		t.Errorf("curl: %v, %q", err, said)
	}
	// The new entry is in every row of the log.
	tab.Await("all have applied it", `[...document.querySelectorAll("#logs .strip")].filter(s => s.lastChild.className.endsWith("applied")).length === 5`)
	if got := tab.Text(`document.getElementById("lab").checkVisibility()`); got != "false" {
		t.Error("a member's page offers to break the cluster")
	}
	tab.Picture("live-node-light")

	if err := c.Kill(t.Context(), old, 9); err != nil {
		t.Fatal(err)
	}
	fresh := leader(t, c, system)
	tab.Await("the new leader is shown", `document.getElementById("state").textContent.startsWith("`+port(fresh)+` leads in term ")`)
	tab.Await("the dead one is silent", `[...document.querySelectorAll("#members g.silent .name")].map(e => e.textContent).join() === "`+port(old)+`"`)
	tab.Await("its links are cut", `document.querySelectorAll("#links .cut").length >= 4`)
	tab.Await("the election is told", `document.getElementById("feed").textContent.includes("leader")`)
	tab.Picture("live-node-killed")
	tab.Do(chromedp.EmulateViewport(400, 900), chromedp.Reload())
	tab.Await("it is drawn again", `document.getElementById("state").textContent.startsWith("`+port(fresh)+` leads in term ")`)
	if got := tab.Text("document.documentElement.scrollWidth"); got != "400" {
		t.Errorf("with a hundred keys the page is %s wide on a screen of 400", got)
	}
	for _, said := range tab.Errors() {
		t.Errorf("the page said %s", said)
	}
}

func TestTheLabsPageBreaksAndHeals(t *testing.T) {
	tab := browser.Open(t, 1280, "dark")
	c, system := cluster(t)
	lab := NewLab(c, system)
	server := httptest.NewServer(New(Config{Runs: t.TempDir(), Loopback: true, Lab: lab}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		lab.Close()
	})
	old := leader(t, c, system)
	tab.Do(chromedp.Navigate(server.URL + "/live"))
	tab.Await("it shows who leads", `document.getElementById("state").textContent.startsWith("`+old+` leads in term ")`)
	tab.Do(chromedp.Click(chromedp.CSS(`#lab [data-do=partition][data-node=leader]`)))
	tab.Await("it is in force", `document.getElementById("done").textContent === "partition `+old+` is in force"`)
	tab.Await("another leads", `/^n\d leads in term \d+$/.test(document.getElementById("state").textContent) && !document.getElementById("state").textContent.startsWith("`+old+` ")`)
	tab.Await("links to the old leader are cut", `document.querySelectorAll("#links .cut").length >= 8`)
	tab.Picture("live-lab-partition")
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("at").value = "`+leader(t, c, system)+`"`), chromedp.Click(chromedp.CSS("#try button")))
	tab.Await("a key is written through the lab", `document.getElementById("answer").textContent.startsWith("200 OK")`)
	tab.Await("members have names in the feed", `[...document.querySelectorAll("#feed li span")].some((e) => /^n\d@\d+ /.test(e.textContent))`)
	tab.Do(chromedp.Reload())
	tab.Await("a page that comes later knows what is in force", `document.getElementById("faults").textContent === "partition `+old+`"`)
	tab.Do(chromedp.Click(chromedp.CSS(`#lab [data-do=heal]`)))
	tab.Await("healed, with evidence", `document.getElementById("done").textContent.includes("healed, installed: ")`)
	tab.Await("no link is cut", `document.querySelectorAll("#links .cut").length === 0`)
	if got := tab.Text(`document.querySelectorAll("#faults li").length`); got != "0" {
		t.Errorf("%s faults are listed after the heal", got)
	}

	second := leader(t, c, system)
	tab.Do(chromedp.Click(chromedp.CSS(`#lab [data-do=kill][data-node=leader]`)))
	tab.Await("the killed one is silent", `[...document.querySelectorAll("#members g.silent .name")].map(e => e.textContent).join() === "`+second+`"`)
	tab.Await("the next leads", `!document.getElementById("state").textContent.startsWith("`+second+` ") && document.getElementById("state").textContent.includes(" leads in term ")`)
	tab.Picture("live-lab-killed")
	tab.Do(chromedp.Click(chromedp.CSS(`#lab [data-do=heal]`)))
	tab.Await("it is back", `document.getElementById("pulse").textContent.startsWith("5 of 5 members answer")`)
	for _, said := range tab.Errors() {
		t.Errorf("the page said %s", said)
	}
}

func post(t *testing.T, h http.Handler, path, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	r := httptest.NewRequest("POST", "http://127.0.0.1:8090"+path, strings.NewReader(body))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	said, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(said)
}

// still is a cluster that must not be touched.
type still struct{ harness.Cluster }

func (still) Places() []harness.Place { return []harness.Place{{Name: "n1"}, {Name: "n2"}} }
func (still) World() string           { return "process" }

func TestFaultsAreForThisMachineAndItsOwnPagesOnly(t *testing.T) {
	lab := NewLab(still{}, nil)
	const kill = `{"do":"kill","node":"n9"}`
	loopback, open := New(Config{Runs: t.TempDir(), Loopback: true, Lab: lab}), New(Config{Runs: t.TempDir(), Lab: lab})
	for name, c := range map[string]struct {
		handler http.Handler
		body    string
		change  func(*http.Request)
		code    int
		want    string
	}{
		"not on loopback":      {open, kill, nil, 404, ""},
		"another site":         {loopback, kill, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "another site"},
		"a name made to fit":   {loopback, kill, func(r *http.Request) { r.Host = "evil.example:8090" }, 403, "this machine only"},
		"an unknown member":    {loopback, kill, nil, 409, `there is no member "n9" among n1 n2`},
		"an unknown word":      {loopback, `{"do":"explode","node":"n1"}`, nil, 409, `"explode" is not known; use kill, pause, partition or heal`},
		"no JSON":              {loopback, `kill n1`, nil, 400, "the body is not"},
		"nothing to be healed": {loopback, `{"do":"heal"}`, nil, 200, "nothing is in force"},
	} {
		t.Run(name, func(t *testing.T) {
			code, said := post(t, c.handler, "/live/faults", c.body, c.change)
			if code != c.code || !strings.Contains(said, c.want) {
				t.Errorf("%d %q, want %d %q", code, said, c.code, c.want)
			}
		})
	}
	for handler, want := range map[http.Handler]string{loopback: `data-faults="/live/faults"`, open: `data-faults=""`} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/live", nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %s", w.Code, want)
		}
	}
}
