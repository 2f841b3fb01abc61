// Package browser opens a page in a headless Chromium, for the tests of pages. It is real or it is not there: a test that
// cannot have one says how to get it, and fails where RAFTLAB_REQUIRE_CHROMIUM is set.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// timeout bounds everything that one test does in the browser.
const timeout = 60 * time.Second

// Tab is one page. What the page reports as an error, and what it asks of a network, is collected while it is open.
type Tab struct {
	Context context.Context
	t       *testing.T

	mu       sync.Mutex
	errors   []string
	requests []string
}

// shared is the browser of this test program; tabs are cheap, a browser takes seconds.
var shared struct {
	sync.Mutex
	context context.Context
	end     func()
}

// Main runs the tests of a package, and ends the browser that they have used. Call it from TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.end != nil {
		shared.end()
	}
	return code
}

// start starts the browser at the first call. The first context bounds its life.
func start(t *testing.T) context.Context {
	t.Helper()
	path := find(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.context != nil {
		return shared.context
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-background-networking", true), chromedp.WSURLReadTimeout(timeout))
	allocated, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocated)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium at %s does not start: %v", path, err)
	}
	shared.context, shared.end = ctx, func() {
		closeBrowser()
		end()
	}
	return ctx
}

// Open opens an empty page. scheme is "light" or "dark"; width is in CSS pixels.
func Open(t *testing.T, width int64, scheme string) *Tab {
	t.Helper()
	tab := &Tab{t: t}
	ctx, closeTab := chromedp.NewContext(start(t), chromedp.WithListener(tab.listen))
	t.Cleanup(closeTab)
	tab.Context = ctx
	if err := chromedp.Do(ctx); err != nil { // before there is a time limit: it would end the page
		t.Fatalf("no page in Chromium: %v", err)
	}
	tab.Do(Command(network.Enable, network.EnableParams{}), Command(log.Enable, cdp.Empty{}), chromedp.EmulateViewport(width, 900),
		Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
	return tab
}

// Command is a command of the protocol as an action.
func Command[P any](command cdp.Command[P, cdp.Empty], parameters P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, parameters)
		return err
	})
}

func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const how = "no Chromium in PATH, so no page was opened: apt-get install chromium, then run the test again"
	if os.Getenv("RAFTLAB_REQUIRE_CHROMIUM") != "" {
		t.Fatal("RAFTLAB_REQUIRE_CHROMIUM is set: " + how)
	}
	t.Skip(how)
	return ""
}

func (tab *Tab) listen(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		tab.errors = append(tab.errors, exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			tab.errors = append(tab.errors, fmt.Sprintf("console: %s", e.Args[0].Value))
		}
	case *log.EventEntryAdded: // refused by the content security policy, not found, ...
		if e.Entry.Level == log.EntryLevelError {
			tab.errors = append(tab.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		tab.requests = append(tab.requests, e.Request.URL)
	}
}

func exception(e *runtime.ExceptionDetails) string {
	text := fmt.Sprintf("%s at %s:%d:%d", e.Text, e.URL, e.LineNumber+1, e.ColumnNumber+1)
	if e.Exception != nil {
		text += ": " + e.Exception.Description
	}
	return text
}

// Do runs the actions, and ends the test at the first that fails.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.Context, timeout)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tab.t.Fatalf("in the browser: %v; the page said %q", err, tab.Errors())
	}
}

// Value is what an action gives.
func Value[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.Context, timeout)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		tab.t.Fatalf("in the browser: %v; the page said %q", err, tab.Errors())
	}
	return v
}

// Text is what an expression of JavaScript gives, as text.
func (tab *Tab) Text(expression string) string {
	tab.t.Helper()
	return Value(tab, chromedp.Evaluate[string]("String("+expression+")"))
}

// Await waits until an expression is true, also on the next page where one is on its way. It fails the test, with what the page
// said, when it does not become so in time.
func (tab *Tab) Await(what, expression string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.Context, timeout/2)
	defer cancel()
	for {
		is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && is {
			return
		}
		select {
		case <-ctx.Done():
			tab.t.Fatalf("in the browser: waiting until %s: %v; the page said %q", what, err, tab.Errors())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Errors are what the page has reported so far.
func (tab *Tab) Errors() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.errors...)
}

// Requests are the addresses that were asked for so far.
func (tab *Tab) Requests() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.requests...)
}

// Picture saves what the window shows as <RAFTLAB_SCREENSHOTS>/<name>.png, for a person to look at; without that variable it does
// nothing.
func (tab *Tab) Picture(name string) {
	tab.t.Helper()
	dir := os.Getenv("RAFTLAB_SCREENSHOTS")
	if dir == "" {
		return
	}
	shot := Value(tab, chromedp.CaptureScreenshot())
	if err := os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644); err != nil {
		tab.t.Fatal(err)
	}
}
