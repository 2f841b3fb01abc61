package serve

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"raftlab/chaos/internal/browser"
)

// A run directory may come from elsewhere, and what a store said is in its pages: no script there may break the live cluster or read
// other runs.
func TestAPageOfARunReachesNothingButItself(t *testing.T) {
	runs := t.TempDir()
	made(t, runs, "hostile", `{"verdict":"FAIL","again":"raftlab run hostile --seed 7"}`)
	const page = `<!doctype html><script>
const tried = [fetch("/live/faults", {method: "POST", body: '{"do":"kill","node":"n9"}'}), fetch("/")];
Promise.allSettled(tried).then(all => document.title = all.map(one => one.status).join());
</script>`
	if err := os.WriteFile(filepath.Join(runs, "hostile", "linear-k.html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	tab := browser.Open(t, 1280, "light")
	handler, codes := New(Config{Runs: runs, Loopback: true, Lab: NewLab(still{}, nil)}), make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live/faults" {
			handler.ServeHTTP(w, r)
			return
		}
		noted := httptest.NewRecorder()
		handler.ServeHTTP(noted, r)
		codes <- noted.Code
	}))
	t.Cleanup(server.Close)
	tab.Do(chromedp.Navigate(server.URL + "/runs/hostile/linear-k.html"))
	tab.Await("its script has run, and reached nothing", `document.title === "rejected,rejected"`)
	if code := <-codes; code != http.StatusForbidden {
		t.Errorf("a fault that it asked for was answered with %d", code)
	}

	tab.Do(chromedp.Navigate(server.URL + "/runs/hostile/"))
	tab.Do(chromedp.Click(chromedp.CSS("[data-copy=again]")))
	tab.Await("the report still copies its line", "document.querySelector('[data-copy=again]').textContent === 'Copied'")
}
