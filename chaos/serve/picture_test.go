package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"raftlab/chaos/internal/browser"
	"raftlab/node/live"
)

// told is a cluster that is what a test says: the page of a member draws it like any other.
type told struct {
	mu      sync.Mutex
	members []*toldMember
}

type toldMember struct {
	name    string
	silent  bool
	view    map[string]any
	links   map[string]map[string]any // by the name of the other member
	learner bool
}

// three are n1, which leads in term 4, n2 and n3. Entries 1 to 6 are of term 3, 7 to 10 of term 4.
func three() *told {
	c := &told{}
	for _, name := range []string{"n1", "n2", "n3"} {
		c.add(name)
	}
	c.members[0].view["role"] = "leader"
	return c
}

func (c *told) add(name string) *toldMember {
	m := &toldMember{name: name, links: map[string]map[string]any{}, view: map[string]any{
		"role": "follower", "term": 4, "leader": "n1:8000", "leader_contact_ms": 10, "first": 1, "last": 10, "commit": 10, "applied": 10, "snapshot": 0, "ready": true, "voters": []string{"n1:8000", "n2:8000", "n3:8000"},
		"tail": map[string]any{"first": 1, "terms": []int{3, 3, 3, 3, 3, 3, 4, 4, 4, 4}},
	}}
	for _, other := range c.members {
		m.links[other.name], other.links[name] = up(), up()
	}
	c.members = append(c.members, m)
	return m
}

func up() map[string]any {
	return map[string]any{"connected": true, "receiving": true, "dropped": 0, "connects": 1}
}

// change is done between two frames.
func (c *told) change(do func(*told)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do(c)
}

func (c *told) frame() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var members, peers []map[string]any
	for _, m := range c.members {
		peers = append(peers, map[string]any{"address": m.name + ":8000", "match": m.view["last"], "next": 11, "state": "replicate", "active": true, "learner": m.learner})
	}
	for _, m := range c.members {
		var links []map[string]any
		for other, l := range m.links {
			links = append(links, map[string]any{"address": other + ":8000", "connected": l["connected"], "receiving": l["receiving"], "dropped": l["dropped"], "connects": l["connects"]})
		}
		m.view["links"], m.view["peers"], m.view["learner"] = links, peers, m.learner
		silent := 0
		if m.silent {
			silent = 1500
		}
		members = append(members, map[string]any{"address": m.name + ":8000", "name": m.name, "at": "", "silent_ms": silent, "view": m.view})
	}
	data, err := json.Marshal(map[string]any{"time": time.Now(), "members": members})
	if err != nil {
		panic(err)
	}
	return data
}

// show serves the page of the cluster and opens it.
func (c *told) show(t *testing.T, width int64, scheme string) *browser.Tab {
	t.Helper()
	tab := browser.Open(t, width, scheme)
	routes := http.NewServeMux()
	routes.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		page, err := live.Page(live.Options{Title: "told", Events: "/events", Keys: "/v1/kv/", Curl: "curl", URL: "http://127.0.0.1:8000"})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", live.Policy)
		w.Write(page)
	})
	routes.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for every := time.NewTicker(50 * time.Millisecond); ; {
			fmt.Fprintf(w, "event: view\ndata: %s\n\n", c.frame())
			w.(http.Flusher).Flush()
			select {
			case <-every.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	server := httptest.NewServer(routes)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	tab.Do(chromedp.Navigate(server.URL))
	tab.Await("it is drawn", `document.getElementById("state").textContent === "n1 leads in term 4"`)
	return tab
}

// link is the class of the arrow from one member to another, as an expression.
func link(from, to string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#links path")].find((p) => p.textContent.startsWith("%s → %s:")).getAttribute("class")`, from, to)
}

func member(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#members g")].find((g) => g.querySelector(".name").textContent === "%s")`, name)
}

func TestEachDirectionOfALinkIsDrawn(t *testing.T) {
	c := three()
	tab := c.show(t, 1280, "light")
	tab.Await("links of the leader are up, those between followers are there", link("n1", "n2")+` === "up" && `+link("n2", "n1")+` === "up" && `+link("n2", "n3")+` === "quiet"`)
	c.change(func(c *told) { c.members[0].links["n2"]["connected"] = false })
	tab.Await("one way is cut and the other is not", link("n1", "n2")+` === "cut" && `+link("n2", "n1")+` === "up"`)
	tab.Picture("live-one-way")
	c.change(func(c *told) { c.members[0].links["n2"]["connected"] = true })
	tab.Await("it is up again", link("n1", "n2")+` === "up"`)
	dropped := 0
	c.change(func(c *told) { dropped = 7; c.members[0].links["n3"]["dropped"] = dropped })
	tab.Await("what was dropped is lost on that way only", link("n1", "n3")+` === "lossy" && `+link("n3", "n1")+` === "up" && `+link("n1", "n2")+` === "up"`)
	c.change(func(c *told) { c.members[2].silent = true })
	tab.Await("nothing comes from who is silent, and nothing arrives", link("n1", "n3")+` !== "up" && `+link("n3", "n1")+` !== "up" && `+member("n3")+`.getAttribute("class").includes("silent") && `+member("n3")+`.textContent.includes("for 1.5 s")`)
	for _, said := range tab.Errors() {
		t.Errorf("the page said %s", said)
	}
}

func TestMembersComeAndGoInThePicture(t *testing.T) {
	c := three()
	tab := c.show(t, 1280, "dark")
	c.change(func(c *told) { c.add("n4").learner = true })
	tab.Await("a learner", member("n4")+`.getAttribute("class").includes("learner") && `+member("n4")+`.textContent.includes("learner")`)
	if got := tab.Text(`getComputedStyle(` + member("n4") + `.querySelector(".body")).strokeDasharray`); got == "none" {
		t.Error("a learner looks like a voter")
	}
	tab.Picture("live-learner")
	c.change(func(c *told) { c.members[3].learner = false })
	tab.Await("a voter", `!`+member("n4")+`.getAttribute("class").includes("learner")`)
	c.change(func(c *told) { c.members = append(c.members[:1:1], c.members[2:]...) })
	tab.Await("who was removed is said to be", member("n2")+`.getAttribute("class").includes("removed") && `+member("n2")+`.textContent.includes("removed")`)
	tab.Await("and has no row in the log", `[...document.querySelectorAll("#logs tbody tr")].filter((tr) => !tr.hidden).map((tr) => tr.cells[0].textContent).join() === "n1,n3,n4"`)
	for _, said := range tab.Errors() {
		t.Errorf("the page said %s", said)
	}
}

// The strip of a member says of each entry what it is there: in a snapshot, applied, committed, only appended, not there.
func TestTheStripMarksCommitAndApply(t *testing.T) {
	c := three()
	c.members[1].view["last"], c.members[1].view["commit"], c.members[1].view["applied"], c.members[1].view["snapshot"] = 9, 8, 7, 2
	c.members[1].view["tail"] = map[string]any{"first": 3, "terms": []int{3, 3, 3, 3, 4, 4, 4}}
	tab := c.show(t, 1280, "light")
	strip := func(row int) string {
		return tab.Text(fmt.Sprintf(`[...document.querySelectorAll("#logs tbody tr")][%d].querySelectorAll(".strip i").values().toArray().slice(-10).map((i) => i.className).join("|")`, row))
	}
	if got, want := strip(0), strings.Repeat("t3 applied|", 6)+"t4 applied|t4 applied|t4 applied|t4 applied"; got != want {
		t.Errorf("n1: %s", got)
	}
	if got, want := strip(1), "snapshot|snapshot|t3 applied|t3 applied|t3 applied|t3 applied|t4 applied|t4 committed|t4 appended|none"; got != want {
		t.Errorf("n2: %s", got)
	}
	if got := tab.Text(`[...document.querySelectorAll("#logs tbody tr")[1].cells].slice(4, 8).map((c) => c.textContent).join(" ")`); got != "9 8 7 2" {
		t.Errorf("last, commit, applied, snapshot: %s", got)
	}
	tab.Picture("live-strip")
	for _, said := range tab.Errors() {
		t.Errorf("the page said %s", said)
	}
}

func TestTheLivePageFitsATelephone(t *testing.T) {
	tab := three().show(t, 400, "light")
	if got := tab.Text("document.documentElement.scrollWidth"); got != "400" {
		t.Errorf("the page is %s wide on a screen of 400", got)
	}
	if size := tab.Text(`(() => { const t = document.querySelector("#members text.in:not(.name)"); return parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a; })()`); len(size) < 2 || size[0] < '1' || size[1] == '.' {
		t.Errorf("words in the ring are %s pixels high", size)
	}
	tab.Picture("live-narrow")
}

// Who looks at the list with a browser: filters, ticks two, compares, opens a report.
func TestAPersonFindsAndComparesRuns(t *testing.T) {
	runs := t.TempDir()
	whole(t, runs, "20260101-000001-default-7", `{"verdict":"PASS","scenario":"default","seed":7,"reason":"20 keys linearizable","options":{"nodes":5}}`)
	made(t, runs, "20260101-000002-default-8", `{"verdict":"FAIL","scenario":"default","seed":8,"reason":"linearizable: k7: get returned an old value","options":{"nodes":3}}`)
	made(t, runs, "20260101-000003-pause-leader-9", `{"verdict":"UNKNOWN","scenario":"pause-leader","seed":9,"reason":"every fault proven: #1 was skipped","options":{"nodes":3}}`)
	server := httptest.NewServer(New(Config{Runs: runs, Loopback: true}))
	t.Cleanup(server.Close)
	tab := browser.Open(t, 1280, "light")
	rows := `[...document.querySelectorAll("table.runs tbody tr")].map((tr) => tr.cells[1].textContent + " " + tr.cells[3].textContent).join("|")`
	tab.Do(chromedp.Navigate(server.URL))
	if got := tab.Text(rows); got != "? UNKNOWN 9|✕ FAIL 8|✓ PASS 7" {
		t.Errorf("all: %s", got)
	}
	tab.Picture("serve-list")
	tab.Do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll(".chips a")].find((a) => a.textContent.startsWith("not passed")).click()`))
	tab.Await("failures only", rows+` === "? UNKNOWN 9|✕ FAIL 8"`)
	tab.Do(chromedp.SendKeys(chromedp.CSS("[name=q]"), "default\r"))
	tab.Await("of them those that match", rows+` === "✕ FAIL 8"`)
	tab.Do(chromedp.Navigate(server.URL), chromedp.Click(chromedp.CSS(`[value="20260101-000001-default-7"]`)), chromedp.Click(chromedp.CSS(`[value="20260101-000002-default-8"]`)),
		chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("button")].find((b) => b.textContent.startsWith("compare")).click()`))
	tab.Await("side by side, and what differs", `[...document.querySelectorAll("tr.differs th")].some((th) => th.textContent.startsWith("nodes")) && ![...document.querySelectorAll("tr.differs th")].some((th) => th.textContent.startsWith("scenario"))`)
	tab.Picture("serve-compare")
	tab.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector('a[href$="default-8/report.html"]').click()`))
	tab.Await("its report", `document.querySelector(".badge").textContent === "✕ FAIL"`)
	tab.Do(chromedp.EmulateViewport(400, 900), chromedp.Navigate(server.URL))
	if got := tab.Text(`[...document.querySelectorAll(".runs .reason, .runs .verdict")].every((e) => e.getBoundingClientRect().right <= 400 && e.getBoundingClientRect().width > 0)`); got != "true" {
		t.Error("on a telephone what a run says is out of sight")
	}
	for _, said := range tab.Errors() {
		t.Errorf("the page said %s", said)
	}
}
