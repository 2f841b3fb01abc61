package peer

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestARefusalIsReadInBothShapes: members of an older version answer with a line of text.
func TestARefusalIsReadInBothShapes(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"stream_refused","message":"this is member n2","definite":true}` + "\n": "peer: 409 this is member n2",
		"peer: this is member n2\n": "peer: 409 peer: this is member n2",
		`{"error":`:                 `peer: 409 {"error":`,
		"":                          "peer: 409 ",
	} {
		r := &http.Response{StatusCode: http.StatusConflict, Body: io.NopCloser(strings.NewReader(body))}
		if got := refusal(r).Error(); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}
