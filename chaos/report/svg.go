package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// svg writes the elements of one drawing. Text is escaped here and nowhere else.
type svg struct{ strings.Builder }

// el writes an element without content. attributes are pairs; numbers get two decimals at most.
func (s *svg) el(name string, attributes ...any) {
	s.begin(name, attributes...)
	s.WriteString("/>")
}

// text writes a text element.
func (s *svg) text(x, y float64, class, content string, attributes ...any) {
	s.open("text", append([]any{"x", x, "y", y, "class", class}, attributes...)...)
	s.WriteString(html.EscapeString(content))
	s.WriteString("</text>")
}

// titled writes an element with a tooltip, which browsers show and screen readers say without any script.
func (s *svg) titled(name, title string, attributes ...any) {
	s.open(name, attributes...)
	s.WriteString("<title>" + html.EscapeString(title) + "</title></" + name + ">")
}

// open begins an element that has content.
func (s *svg) open(name string, attributes ...any) {
	s.begin(name, attributes...)
	s.WriteByte('>')
}

func (s *svg) begin(name string, attributes ...any) {
	s.WriteString("<" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		s.WriteString(" " + attributes[i].(string) + `="`)
		switch v := attributes[i+1].(type) {
		case float64:
			s.WriteString(number(v))
		case int:
			s.WriteString(strconv.Itoa(v))
		case string:
			s.WriteString(html.EscapeString(v))
		default:
			panic(fmt.Sprintf("report: attribute %v is a %T", attributes[i], v))
		}
		s.WriteByte('"')
	}
}

func (s *svg) close(name string) { s.WriteString("</" + name + ">") }

func (s *svg) html() template.HTML { return template.HTML(s.String()) }

// number has two decimals at most, and none that are zero.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

// tenth has one decimal at most: enough for a point of a drawing, and shorter.
func tenth(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

// millis is a time as the script reads it.
func millis(d time.Duration) float64 { return math.Round(float64(d)/1e4) / 100 }

// axis maps a stretch of time to a stretch of the drawing.
type axis struct {
	from, to    time.Duration
	left, width float64
}

func (a axis) x(t time.Duration) float64 {
	return a.left + a.width*float64(t-a.from)/float64(a.to-a.from)
}

// ticks are round moments, about as many as asked for.
func (a axis) ticks(about int) []time.Duration {
	step := roundStep((a.to - a.from) / time.Duration(about))
	var ticks []time.Duration
	for t := (a.from + step - 1) / step * step; t >= a.from && t <= a.to; t += step { // a damaged run may end where time does
		ticks = append(ticks, t)
	}
	return ticks
}

// roundStep is the next of 1, 2, 5, 10, ... ms and s, 15, 30 s, 1, 2, 5 min, ...
func roundStep(least time.Duration) time.Duration {
	for unit := time.Millisecond; unit < 10*time.Second; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if n*unit >= least {
				return n * unit
			}
		}
	}
	for _, step := range []time.Duration{10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute} {
		if step >= least {
			return step
		}
	}
	return (least/time.Hour + 1) * time.Hour
}

// widthOf is about how wide a text is at 11 pixels: no browser is asked.
func widthOf(text string) float64 { return 6.2 * float64(len([]rune(text))) }
