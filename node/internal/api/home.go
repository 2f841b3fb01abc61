package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strings"

	"raftlab/node/live"
)

// homeKeysMax bounds the keys of GET /. The seed shows all data there.
const homeKeysMax = 100

type homeReply struct {
	statusReply
	FirstKeys []string `json:"first_keys"`
	// KeysCapped says that there are more; GET /v1/kv lists them.
	KeysCapped bool `json:"keys_capped"`
	// Curl is how the lines to paste begin: the command and where this member is.
	Curl, URL string `json:"-"`
}

// home shows this member as it sees itself: a page, JSON or text, as Accept asks.
func (s *Server) home(x *exchange) *failure {
	entries, more, _ := s.store.List("", "", homeKeysMax)
	reply := homeReply{statusReply: s.describe(), FirstKeys: make([]string, len(entries)), KeysCapped: more, Curl: "curl -fsS", URL: s.scheme + "://" + s.reachedAt(x.r)}
	if s.guard.token != nil {
		reply.Curl += ` -H "Authorization: Bearer $TOKEN"` // ours stays secret
	}
	for i, e := range entries {
		reply.FirstKeys[i] = e.Key
	}
	x.Header().Set("Vary", "Accept")
	accept := x.r.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "text/html"):
		return s.homePage(x, reply)
	case strings.Contains(accept, typeJSON):
		s.json(x, http.StatusOK, reply)
	default:
		s.text(x, http.StatusOK, homeText(reply))
	}
	return nil
}

// A host in lines to paste. Go lets more through, such as $ and ;.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9.:\[\]-]+$`)

// reachedAt is where who asks has found this member: with ports of a container that are published, not its own address.
func (s *Server) reachedAt(r *http.Request) string {
	if plainHost.MatchString(r.Host) {
		return r.Host
	}
	return s.servedBy[0]
}

func homeText(r homeReply) string {
	var b strings.Builder
	line := func(label string, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s "+format+"\n", append([]any{label}, args...)...)
	}
	leader := "none known"
	if r.Leader != nil {
		leader = *r.Leader
	}
	line("node", "%s at %s", r.ID, r.Address)
	line("role", "%s", r.roleWords())
	line("term", "%d", r.Term)
	line("leader", "%s", leader)
	line("commit", "%d", r.Commit)
	line("applied", "%d", r.Applied)
	line("last", "%d", r.Last)
	line("snapshot", "%d", r.Snapshot)
	line("quorum", "%d of %d voters", r.Quorum, len(r.Voters))
	for _, p := range r.Peers {
		line("peer", "%s", p.words())
	}
	line("keys", "%d", r.Keys)
	for _, key := range r.FirstKeys {
		line("", "%q", key) // quoted: a key may hold what a terminal would obey
	}
	if r.KeysCapped {
		line("", "... the first %d only; %s %s/v1/kv lists all", homeKeysMax, r.Curl, r.URL)
	}
	fmt.Fprintf(&b, "\ntry\n  %[1]s -X PUT %[2]s/keyx -H 'Content-Type: application/json' -d '{\"key\":\"value\"}'\n"+
		"  %[1]s %[2]s/keyx\n  %[1]s -X DELETE %[2]s/keyx\n"+
		"  %[1]s %[2]s/__pyraft/status\n  %[1]s %[2]s/readyz?verbose\n", r.Curl, r.URL)
	return b.String()
}

func (r statusReply) roleWords() string {
	switch {
	case r.Removed:
		return r.Role + " (removed from its cluster)"
	case r.Learner:
		return r.Role + " (learner, no vote yet)"
	}
	return r.Role
}

func (p peerReply) words() string {
	words := p.ID + " at " + p.Address
	if p.Learner {
		words += ", learner"
	}
	if p.Leader {
		words += ", leader"
	}
	if p.Self {
		words += ", this one"
	}
	if p.State != "" {
		words += fmt.Sprintf(", %s, match %d, next %d", p.State, p.Match, p.Next)
	}
	if p.Active != nil && !*p.Active {
		words += ", silent"
	}
	return words
}

//go:embed home.html
var homeHTML string

// The page is the live one, and below it what this member knew when it was loaded: all of it for who runs no scripts. It
// reads nothing from elsewhere, and no script can run on it but its own, whatever a key is called.
var homeTemplate = template.Must(template.New("home").Funcs(template.FuncMap{"peer": peerReply.words}).Parse(homeHTML))

func (s *Server) homePage(x *exchange, r homeReply) *failure {
	var static bytes.Buffer
	err := homeTemplate.Execute(&static, struct {
		homeReply
		RoleWords string
		Most      int
	}{r, r.roleWords(), homeKeysMax})
	if err != nil {
		panic(fmt.Sprintf("api: home page: %v", err))
	}
	page, err := live.Page(live.Options{
		Title: "raftd at " + r.Address, Events: livePath, Keys: keysPrefix, Curl: r.Curl, URL: r.URL, Static: template.HTML(static.String()),
	})
	if err != nil {
		panic(fmt.Sprintf("api: live page: %v", err))
	}
	x.Header().Set("Content-Security-Policy", live.Policy)
	x.Header().Set("Referrer-Policy", "no-referrer")
	s.body(x, http.StatusOK, "text/html; charset=utf-8", page)
	return nil
}
