package mutants

import (
	"errors"
	"strings"
	"testing"
)

const original = `package x

func a() int {
	return 1
}

func b() int {
	return 1
}
`

func TestAPatchChangesExactlyWhatItSays(t *testing.T) {
	for _, c := range []struct{ name, patch, want string }{
		{"in place", "@@ -7,3 +7,3 @@\n func b() int {\n-\treturn 1\n+\treturn 2\n }\n",
			strings.Replace(original, "func b() int {\n\treturn 1", "func b() int {\n\treturn 2", 1)},
		{"moved to the only place where it fits", "@@ -70,3 +70,3 @@\n func b() int {\n-\treturn 1\n+\treturn 2\n }\n",
			strings.Replace(original, "func b() int {\n\treturn 1", "func b() int {\n\treturn 2", 1)},
		{"two hunks, the first longer", "@@ -3,2 +3,4 @@ package x\n func a() int {\n+\t// one\n+\t// two\n \treturn 1\n@@ -8,1 +10,1 @@\n-\treturn 1\n+\treturn 2\n",
			"package x\n\nfunc a() int {\n\t// one\n\t// two\n\treturn 1\n}\n\nfunc b() int {\n\treturn 2\n}\n"},
		{"an empty context line that an editor stripped", "@@ -5,3 +5,3 @@\n }\n\n-func b() int {\n+func c() int {\n",
			strings.Replace(original, "func b", "func c", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePatch("--- a/x.go\n+++ b/x.go\n" + c.patch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p[0].Apply(original)
			if err != nil || got != c.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
}

func TestAPatchThatDoesNotFitExactlyIsRefused(t *testing.T) {
	for _, c := range []struct{ name, patch, want string }{
		{"other context", "@@ -7,3 +7,3 @@\n func b() int {\n-\treturn 3\n+\treturn 2\n }\n", "the source has changed"},
		{"other white space", "@@ -7,3 +7,3 @@\n func b() int {\n-    return 1\n+\treturn 2\n }\n", "the source has changed"},
		{"two places", "@@ -1,1 +1,1 @@\n-\treturn 1\n+\treturn 2\n", "in 2 places"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := ParsePatch("--- a/x.go\n+++ b/x.go\n" + c.patch)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p[0].Apply(original); !errors.Is(err, ErrPatch) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestAMalformedPatchIsRefused(t *testing.T) {
	const head = "--- a/x.go\n+++ b/x.go\n"
	for text, want := range map[string]string{
		"":                                   "expected --- a/FILE",
		"--- a/x.go\n":                       "expected --- a/FILE",
		"--- a/x.go\n+++ b/y.go\n":           "renamed",
		head:                                 "no hunk",
		head + "@@ -x +1 @@\n a\n":           "no hunk header",
		head + "@@ -1,2 +1,2 @@\n a\n":       "ends too early",
		head + "@@ -1,1 +1,1 @@\n*a\n":       "begins with none of",
		head + "@@ -0,0 +1,1 @@\n+a\n":       "does not have the lines",
		head + "@@ -1,1 +1,1 @@\n a\nrest\n": "expected --- a/FILE",
	} {
		if _, err := ParsePatch(text); !errors.Is(err, ErrPatch) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", text, err, want)
		}
	}
}
