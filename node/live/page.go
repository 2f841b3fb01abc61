package live

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
)

var (
	//go:embed live.html
	pageHTML string
	//go:embed live.css
	pageCSS string
	//go:embed live.js
	pageJS string

	page = template.Must(template.New("live").Parse(pageHTML))
)

// Policy is the Content-Security-Policy of the page: its own script and style, and requests to where it came from.
var Policy = fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	digest(pageCSS), digest(pageJS))

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Options are what differs between those who serve the page.
type Options struct {
	Title  string
	Events string // address of the stream
	Keys   string // where keys are: the path before the key
	Curl   string // how a curl line begins
	URL    string // of the member for the curl line, where the page has no choice of members
	Faults string // where faults are asked for; empty on a member, which breaks nothing
	Back   string // where the list of runs is, empty where there is none
	// Static is shown below and to who runs no scripts.
	Static template.HTML
}

// Page is the page as bytes. It loads nothing but the stream.
func Page(o Options) ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		Options
		CSS template.CSS
		JS  template.JS
	}{o, template.CSS(pageCSS), template.JS(pageJS)})
	return b.Bytes(), err
}
