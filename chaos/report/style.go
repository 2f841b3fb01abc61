package report

import "html/template"

// Style is the style sheet of report.html, for pages beside it that should look the same.
func Style() template.CSS { return template.CSS(pageCSS) }

// Mark is a verdict as a sign, for who sees no colour.
func Mark(verdict string) string { return mark(verdict) }
