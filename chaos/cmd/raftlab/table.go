package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// cellMax keeps the doctor's four columns, with two blanks in between, below 120.
const cellMax = 32

// printTable aligns the columns, and goes on below where a cell is long: a terminal that breaks the lines by itself
// makes a table unreadable.
func printTable(w io.Writer, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	var cells [][][]string // row, column, line
	for _, row := range rows {
		wrapped := make([][]string, len(row))
		for i, text := range row {
			wrapped[i] = wrap(text)
			for _, line := range wrapped[i] {
				widths[i] = max(widths[i], utf8.RuneCountInString(line))
			}
		}
		cells = append(cells, wrapped)
	}
	var b strings.Builder
	for _, row := range cells {
		height := 0
		for _, cell := range row {
			height = max(height, len(cell))
		}
		for at := range height {
			var line strings.Builder
			for i, cell := range row {
				text := ""
				if at < len(cell) {
					text = cell[at]
				}
				fmt.Fprintf(&line, "%-*s  ", widths[i], text) // fmt counts runes
			}
			fmt.Fprintln(&b, strings.TrimRight(line.String(), " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks between words, and inside one that is longer than a line.
func wrap(text string) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		switch {
		case lines[last] == "":
			lines[last] = word
		case utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= cellMax:
			lines[last] += " " + word
		default:
			lines = append(lines, word)
		}
		for last = len(lines) - 1; utf8.RuneCountInString(lines[last]) > cellMax; last++ {
			runes := []rune(lines[last])
			lines[last] = string(runes[:cellMax])
			lines = append(lines, string(runes[cellMax:]))
		}
	}
	return lines
}
