package chaos

import (
	"strings"
	"testing"
)

func TestTheWorstVerdictWinsInTheOrderFailUnknownEnvironmentPass(t *testing.T) {
	order := []Verdict{Pass, Environment, Unknown, Fail}
	for i, a := range order {
		for j, b := range order {
			if got := Worst(a, b); got != order[max(i, j)] {
				t.Errorf("the worst of %s and %s is %s", a, b, got)
			}
		}
	}
	if got := Worst(); got != Unknown {
		t.Errorf("no checker at all is %s", got)
	}
	for _, none := range []Verdict{"", "pass", "ok"} {
		if got := Worst(Pass, none); got != Unknown {
			t.Errorf("a checker that says %q makes a PASS %s", none, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for v, want := range map[Verdict]int{Pass: 0, Fail: 1, Unknown: 2, Environment: 3, "": 2, "pass": 2} {
		if got := v.ExitCode(); got != want {
			t.Errorf("%q exits %d, want %d", v, got, want)
		}
	}
}

func TestACheckerThatPanicsIsUnknown(t *testing.T) {
	c := guarded("porcupine", func() Check {
		var m map[string]int
		m["x"] = 1
		return Check{Verdict: Pass}
	})
	if c.Verdict != Unknown || c.Name != "porcupine" || !strings.Contains(c.Reason, "panicked") {
		t.Errorf("%+v", c)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("%d prints as %s, want %s", n, got, want)
		}
	}
}

func TestWhatIsCountedIsNamedAsInASentence(t *testing.T) {
	for want, got := range map[string]string{
		"1 try": Counted(1, "try"), "2 tries": Counted(2, "try"), "3 keys": Counted(3, "key"), "0 faults": Counted(0, "fault"), "1,200 operations": Counted(1200, "operation"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
