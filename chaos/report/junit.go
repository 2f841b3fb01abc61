package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The parts of JUnit's format that CI systems agree on.
type (
	suite struct {
		XMLName    xml.Name   `xml:"testsuite"`
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Errors     int        `xml:"errors,attr"`
		Skipped    int        `xml:"skipped,attr"`
		Seconds    string     `xml:"time,attr"`
		Started    string     `xml:"timestamp,attr,omitempty"`
		Properties []property `xml:"properties>property"`
		Cases      []testCase `xml:"testcase"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testCase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *problem `xml:"failure"`
		Error   *problem `xml:"error"`
		Skipped *problem `xml:"skipped"`
		Out     string   `xml:"system-out,omitempty"`
	}
	problem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the run as a suite: a case for each check. FAIL is a failure, UNKNOWN an error, and a part that the machine
// cannot do is skipped. A run whose verdict no check explains has a case of its own, so that it is not green.
func (r Run) JUnit(w io.Writer) error {
	s := suite{Name: r.Scenario, Seconds: fmt.Sprintf("%.3f", r.Took.Seconds()), Properties: []property{
		{"seed", fmt.Sprint(r.Seed)}, {"verdict", r.Verdict}, {"world", r.World}, {"system", r.System}, {"run again", r.Again}, {"raftlab", r.Versions["raftlab"]},
	}}
	if !r.Started.IsZero() {
		s.Started = r.Started.UTC().Format("2006-01-02T15:04:05")
	}
	checks, explained := r.Checks, false
	for _, c := range checks {
		explained = explained || !c.fine()
	}
	if r.Verdict != pass && !explained {
		checks = append([]Check{{Name: "run", Verdict: r.Verdict, Reason: r.Reason}}, checks...)
	}
	for _, c := range checks {
		test := testCase{Name: c.Name, Class: "raftlab." + r.Scenario, Out: c.Looked}
		p := &problem{Message: c.Reason, Text: "run again: " + r.Again}
		switch c.Verdict {
		case pass:
		case nothing:
			test.Skipped = p
			s.Skipped++
		case fail:
			test.Failure = p
			s.Failures++
		case environment:
			if r.Verdict == environment { // nothing at all was shown: skipped would be green
				test.Error = p
				s.Errors++
				break
			}
			test.Skipped = p
			s.Skipped++
		default:
			test.Error = p
			s.Errors++
		}
		s.Cases = append(s.Cases, test)
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("report: junit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// Annotations are the lines by which a run that did not pass shows itself on GitHub: one for each check that is not ok.
func (r Run) Annotations() []string {
	if r.Verdict == pass {
		return nil
	}
	title := fmt.Sprintf("%s: %s seed %d", r.Verdict, r.Scenario, r.Seed)
	var lines []string
	for _, c := range r.Checks {
		if !c.fine() {
			lines = append(lines, annotation(title, c.Name+": "+c.Reason))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, annotation(title, r.Reason))
	}
	return lines
}

func annotation(title, message string) string {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	value := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	return fmt.Sprintf("::error title=%s::%s", value.Replace(title), data.Replace(message))
}
