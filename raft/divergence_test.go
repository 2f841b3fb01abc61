package raft_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var quoted = regexp.MustCompile("`([a-z_0-9/]+ )?((?:Test|Fuzz)[A-Za-z0-9]+|[a-z]+/[a-z_0-9]+)`")

// TestEveryRuleNamesWhatShowsIt holds divergence.md to its word: each row of its tables names scripts or tests, all of
// them exist, and no script is without a rule.
func TestEveryRuleNamesWhatShowsIt(t *testing.T) {
	page, err := os.ReadFile("divergence.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		names := quoted.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "| ") && !strings.HasSuffix(line, " shown by |\n") && len(names) == 0 {
			t.Errorf("nothing shows this rule: %s", line)
		}
		for _, name := range names {
			if problem := missing(strings.TrimSpace(name[1]), name[2]); problem != "" {
				t.Errorf("%s\n%s", problem, line)
			}
		}
	}
	scripts, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(scripts) < 60 {
		t.Fatalf("%d scripts: %v", len(scripts), err)
	}
	for _, script := range scripts {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(script), "testdata/"), ".txt")
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the script %s shows no rule of divergence.md", name)
		}
	}
}

// missing says what is wrong with a name: of a test in a directory below the module or this one, or of a script.
func missing(dir, name string) string {
	if strings.Contains(name, "/") {
		if _, err := os.Stat(filepath.Join("testdata", name+".txt")); err != nil {
			return "no script " + name
		}
		return ""
	}
	if strings.HasPrefix(dir, "node/") {
		dir = "../" + dir
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "\nfunc "+name+"(") {
			return ""
		}
	}
	return "no test " + name + " in " + dir
}
