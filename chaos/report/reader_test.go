package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"raftlab/chaos/internal/browser"
)

// The cause of a failure is on the first screen: nobody has to scroll for which read, which write, how long before, which fault,
// and what the members were.
func TestTheReasonIsOnTheFirstScreen(t *testing.T) {
	tab := open(t, violating(t), 1280, "light")
	if height := tab.Text("innerHeight"); height != "900" {
		t.Fatalf("a screen of %s", height)
	}
	for _, want := range []string{"FAIL", "An old value came back", "it shows in", "against", "how long before", "fault", "members then", "run again"} {
		_, y, _, height := boxOf(tab, fmt.Sprintf("[...document.querySelectorAll('header .badge, header h1, header dt, header .again span')].find(e => e.textContent.includes(%q))", want))
		if height == 0 || y+height > 900 {
			t.Errorf("%q is %v below the upper edge and %v high, on a screen of 900", want, y, height)
		}
	}
	clean(t, tab)
}

// boxOf is where the element of an expression is; all is zero where there is none.
func boxOf(tab *browser.Tab, expression string) (x, y, width, height float64) {
	text := tab.Text("(() => { const e = " + expression + "; if (!e) return '0 0 0 0'; const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height].join(' ') })()")
	fmt.Sscan(text, &x, &y, &width, &height)
	return
}

// The button puts the line on the clipboard, also from a file: it is pasted to see it.
func TestTheLineToRunAgainIsCopied(t *testing.T) {
	tab := open(t, violating(t), 1280, "light")
	tab.Do(chromedp.Click(chromedp.CSS("[data-copy=again]")))
	tab.Await("it says so", "document.querySelector('[data-copy=again]').textContent === 'Copied'")
	tab.Do(chromedp.Click(chromedp.CSS("#words")), browser.Command(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: "keyDown", Key: "v", Commands: []string{"paste"}}))
	tab.Await("it is pasted", "document.getElementById('words').value === 'raftlab run made --seed 7'")
	tab.Await("it can be copied again", "document.querySelector('[data-copy=again]').textContent === 'Copy'")
	clean(t, tab)
}

// Words keep the contrast that WCAG asks of small text, 4.5 to 1, in both schemes.
func TestWordsHaveContrastInLightAndDark(t *testing.T) {
	const measure = `(() => {
		const luminance = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
		const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
		const under = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
		const worst = {};
		for (const e of document.querySelectorAll("body *")) {
			if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
			if (e.closest(".onleader, .ongap, script, style, title, .off")) continue; // on a colour of their own: measured below
			const style = getComputedStyle(e), a = luminance(parse(e instanceof SVGElement ? style.fill : style.color).slice(0, 3)), b = luminance(under(e));
			const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
			if (ratio < 4.5) worst[e.tagName + "." + (e.getAttribute("class") || "") + " " + e.textContent.trim().slice(0, 20)] = ratio.toFixed(2);
		}
		for (const e of document.querySelectorAll(".onleader")) {
			const bar = [...e.parentElement.querySelectorAll("rect.leader")].find((r) => r.dataset.a === e.dataset.a);
			const a = luminance(parse(getComputedStyle(e).fill)), b = luminance(parse(getComputedStyle(bar).fill)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
			if (ratio < 4.5) worst["on the bar of " + e.textContent] = ratio.toFixed(2);
		}
		return JSON.stringify(worst);
	})()`
	papers := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		tab := open(t, violating(t), 1280, scheme)
		if got := tab.Text(measure); got != "{}" {
			t.Errorf("%s: below 4.5: %s", scheme, got)
		}
		papers[scheme] = tab.Text("getComputedStyle(document.body).backgroundColor")
		clean(t, tab)
	}
	if papers["light"] == papers["dark"] {
		t.Errorf("both schemes are on %s", papers["light"])
	}
}

// Without colour all that differs still differs: verdicts by a sign, roles by height and pattern, points by shape, rates by
// dashes, operations by their edge.
func TestNothingIsToldByColourAlone(t *testing.T) {
	tab := open(t, violating(t), 1280, "light")
	tab.Do(chromedp.Evaluate[chromedp.Void]("document.documentElement.style.filter = 'grayscale(1)'"))
	tab.Do(chromedp.Evaluate[chromedp.Void]("document.getElementById('timeline').scrollIntoView({block: 'center', behavior: 'instant'})"))
	tab.Picture("fail-without-colour")
	for what, expression := range map[string]string{
		"verdicts have a sign": `[...document.querySelectorAll("td.verdict")].every((td) => /^[✓✕?–] /.test(td.textContent)) && /^✕ /.test(document.querySelector(".badge").textContent)`,
		"roles differ in height or have a pattern": `(() => { const height = (c) => document.querySelector("#timeline rect." + c).getAttribute("height"), mark = (c) => getComputedStyle(document.querySelector("#timeline ." + c + "-mark")).fill;
			return height("leader") !== height("follower") && mark("candidate") !== mark("silent") && mark("silent").startsWith("url") && mark("candidate").startsWith("url"); })()`,
		"points differ in shape": `new Set(["ok", "failed", "unknown"].map((c) => { const s = getComputedStyle(document.querySelector(".points." + c)); return s.strokeLinecap + s.strokeWidth; })).size === 3`,
		"rates differ in dashes": `new Set(["ok", "failed", "unknown"].map((c) => getComputedStyle(document.querySelector(".rate." + c)).strokeDasharray)).size === 3`,
		"outcomes are words":     `[...document.querySelectorAll("#list td.failed")].every((td) => td.textContent === "failed") && document.querySelectorAll("#list td.failed").length > 0`,
		"what shows the violation has a wide edge, what never ended an open one": `(() => { const width = (c) => getComputedStyle(document.querySelector(".key .operation" + c)).strokeWidth; return width(".marked") !== width(".unknown") && document.querySelector(".key .unknown").tagName === "path"; })()`,
		"what links are is underlined":                                           `getComputedStyle(document.querySelector("#files a")).textDecorationLine === "underline"`,
	} {
		if got := tab.Text(expression); got != "true" {
			t.Errorf("%s: %s", what, got)
		}
	}
	clean(t, tab)
}

// On a telephone the verdict of a check and the evidence of a fault are in sight, not behind an edge.
func TestOnANarrowScreenVerdictsAndEvidenceAreInSight(t *testing.T) {
	tab := open(t, violating(t), 400, "light")
	for _, words := range []string{"#checks td.verdict", "#checks td.long", "#faults td.long", "#again", ".badge", "header dd"} {
		x, _, width, _ := box(tab, words)
		if width == 0 || x < 0 || x+width > 400 {
			t.Errorf("%s is from %v to %v on a screen of 400", words, x, x+width)
		}
	}
	if size := tab.Text(`(() => { const t = document.querySelector("#timeline .tick"), m = t.getScreenCTM(); return parseFloat(getComputedStyle(t).fontSize) * m.a; })()`); strings.HasPrefix(size, "6") || strings.HasPrefix(size, "7") {
		t.Errorf("the chart's words are %s pixels high", size)
	}
	tab.Picture("fail-narrow")
	clean(t, tab)
}
