package report

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"raftlab/chaos/internal/browser"
)

// open writes the report and opens it as a person does: from the disk.
func open(t *testing.T, r Run, width int64, scheme string) *browser.Tab {
	t.Helper()
	tab := browser.Open(t, width, scheme)
	dir := writeRun(t, r)
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	tab.Do(chromedp.Navigate((&url.URL{Scheme: "file", Path: filepath.Join(dir, FileName)}).String()))
	return tab
}

// clean fails the test if the page said or asked for anything.
func clean(t *testing.T, tab *browser.Tab) {
	t.Helper()
	if errors := tab.Errors(); len(errors) > 0 {
		t.Errorf("the page said %q", errors)
	}
	for _, asked := range tab.Requests() {
		if !strings.HasPrefix(asked, "file:") && !strings.HasPrefix(asked, "data:") {
			t.Errorf("it asked for %s", asked)
		}
	}
}

// box is where an element is, in pixels of the window.
func box(tab *browser.Tab, selector string) (x, y, width, height float64) {
	text := tab.Text(fmt.Sprintf("(() => { const b = document.querySelector(%q).getBoundingClientRect(); return [b.x, b.y, b.width, b.height].join(' ') })()", selector))
	fmt.Sscan(text, &x, &y, &width, &height)
	return
}

func mouse(kind input.DispatchMouseEventType, x, y float64, options ...chromedp.MouseOption) chromedp.Action[chromedp.Void] {
	return chromedp.MouseEvent(kind, x, y, options...)
}

func TestAPersonCanReadAFailure(t *testing.T) {
	tab := open(t, violating(t), 1280, "light")
	if got := tab.Text("document.querySelector('h1').textContent"); got != "An old value came back after a newer one was certain." {
		t.Errorf("headline %q", got)
	}
	// What was answered when, hovering over 6.2 s: in the middle of the fault.
	tab.Do(chromedp.Evaluate[chromedp.Void]("document.getElementById('timeline').scrollIntoView({block: 'center', behavior: 'instant'})"))
	x, y, width, height := box(tab, "#surface")
	tab.Do(mouse(input.DispatchMouseEventTypeMouseMoved, x+width*6.2/12, y+height*.8))
	tab.Await("values are shown", "!document.getElementById('values').hidden")
	values := tab.Text("document.getElementById('values').innerText")
	for _, want := range []string{"6.2", "#1 partition leader at n1", "n1\tpre-candidate, term 2, commit 6, applied 6", "n3\tleader, term 3", "ok, "} {
		if !strings.Contains(values, want) {
			t.Errorf("no %q in\n%s", want, values)
		}
	}
	tab.Picture("fail-light-hover")

	// Drag from 4 s to 8 s.
	tab.Do(mouse(input.DispatchMouseEventTypeMousePressed, x+width*4/12, y+height/2, chromedp.Button("left")), mouse(input.DispatchMouseEventTypeMouseMoved, x+width*6/12, y+height/2, chromedp.Button("left")),
		mouse(input.DispatchMouseEventTypeMouseReleased, x+width*8/12, y+height/2, chromedp.Button("left")))
	span := func() (from, to float64) {
		from, _ = strconv.ParseFloat(tab.Text("document.getElementById('timeline').dataset.from"), 64)
		to, _ = strconv.ParseFloat(tab.Text("document.getElementById('timeline').dataset.to"), 64)
		return from, to
	}
	if from, to := span(); from < 3950 || from > 4050 || to < 7900 || to > 8050 {
		t.Errorf("dragged from 4 to 8 s, it shows %v to %v ms", from, to)
	}
	if ticks := tab.Text("document.querySelector('.scale').textContent"); !strings.Contains(ticks, "4.5 s") && !strings.Contains(ticks, "6.5 s") {
		t.Errorf("ticks %q", ticks)
	}
	tab.Picture("fail-light-zoomed")
	_, all := span()
	tab.Do(chromedp.Click(chromedp.CSS("[data-zoom=all]")))
	if from, to := span(); from != 0 || to <= all {
		t.Errorf("the whole run is %v to %v ms", from, to)
	}
	tab.Do(chromedp.Click(chromedp.CSS("[data-show]")))
	if from, to := span(); from > 4000 || from < 2000 || to < 8000 || to > 10000 {
		t.Errorf("fault #1 is shown from %v to %v ms", from, to)
	}
	clean(t, tab)
}

func TestOperationsAreFoundByWords(t *testing.T) {
	r := violating(t)
	tab := open(t, r, 1280, "dark")
	rows := func() string { return tab.Text("document.getElementById('list').tBodies[0].rows.length") }
	found := func() string { return tab.Text("document.getElementById('found').value") }
	if rows() != "200" || tab.Text("document.getElementById('shown').textContent") != "Showing 200 of 304." {
		t.Errorf("%s rows, %q", rows(), tab.Text("document.getElementById('shown').textContent"))
	}
	tab.Do(chromedp.Click(chromedp.CSS("#more")))
	if rows() != "304" {
		t.Errorf("%s rows after more", rows())
	}
	failed := 0
	for _, op := range r.History.Operations {
		if op.Outcome == "failed" && op.Node == "n1" {
			failed++
		}
	}
	for words, want := range map[string]string{
		"kx": "4", "kx put": "3", "kx put -unknown": "2", "kx get n1 <10ms": "1", "kx >9ms <11ms": "2", "unknown": "1", "#303": "1", "key:kx client:4": "1", "no_leader kx": "0",
		"kx answered": "0", "failed node:n1": strconv.Itoa(failed),
	} {
		tab.Do(chromedp.Evaluate[chromedp.Void]("document.getElementById('words').value = ''"), chromedp.SendKeys(chromedp.CSS("#words"), words))
		if got := rows(); got != want {
			t.Errorf("%q finds %s (%s), want %s", words, got, found(), want)
		}
	}
	// The read that is wrong, as the table has it: what it saw is written by operation 301.
	tab.Do(chromedp.Evaluate[chromedp.Void]("document.getElementById('words').value = ''"), chromedp.SendKeys(chromedp.CSS("#words"), "#303"))
	if got := tab.Text("[...document.getElementById('list').tBodies[0].rows[0].cells].map(c => c.textContent).join('|')"); got != "303|4|n1|kx|get|old|6.427 s|3.0 ms|n1|40|2|fault 1" {
		t.Errorf("row %s", got)
	}
	tab.Do(chromedp.Evaluate[chromedp.Void]("document.querySelector('[data-filter]').click()"))
	if rows() != "4" {
		t.Errorf("the link of key kx finds %s", rows())
	}
	tab.Picture("fail-dark")
	clean(t, tab)
}

func TestThePageWithoutScriptIsWhole(t *testing.T) {
	tab := browser.Open(t, 1280, "light")
	dir := writeRun(t, violating(t))
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	// The same page, and scripts that may not run: the policy goes first.
	still := strings.Replace(string(page), "<head>", `<head><meta http-equiv="Content-Security-Policy" content="script-src 'none'">`, 1)
	path := filepath.Join(dir, "still.html")
	if err := os.WriteFile(path, []byte(still), 0o644); err != nil {
		t.Fatal(err)
	}
	tab.Do(chromedp.Navigate("file://" + path))
	if got := tab.Text("document.documentElement.className"); got != "" {
		t.Fatalf("the script ran: %s", got)
	}
	text := tab.Text("document.body.innerText")
	for _, want := range []string{"An old value came back", "417 ms before get began", "raftlab run made --seed 7", "leader, term 3", "214 packets dropped", "The first 200 of 304 operations"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(text, "Copy") || strings.Contains(text, "drag across") {
		t.Error("what needs a script is offered without one")
	}
	tab.Picture("fail-without-script")
}

func TestOnANarrowScreenNothingSticksOut(t *testing.T) {
	tab := open(t, passing(t), 400, "light")
	if got := tab.Text("document.documentElement.scrollWidth"); got != "400" {
		t.Errorf("the page is %s wide on a screen of 400", got)
	}
	tab.Picture("pass-narrow")
	clean(t, tab)
}

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }
