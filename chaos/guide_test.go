package chaos

import (
	"os"
	"strings"
	"testing"
)

// The code of the guide is the code of files that are compiled and tested: each block must occur in one of them.
func TestTheGuideShowsCodeThatIsCompiled(t *testing.T) {
	guide, err := os.ReadFile("../harness/GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	var code string
	for _, file := range []string{"../harness/systems/kvd/kvd.go", "example_test.go", "cmd/raftlab/stores.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	blocks := strings.Split(string(guide), "```go\n")[1:]
	if len(blocks) < 6 {
		t.Fatalf("%d blocks of Go", len(blocks))
	}
	for _, block := range blocks {
		block, _, ended := strings.Cut(block, "```")
		if !ended || !strings.Contains(code, block) {
			t.Errorf("no file has\n%s", block)
		}
	}
}
