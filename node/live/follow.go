package live

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
)

// ReadEvents reads a member's GET /__pyraft/events, which are server-sent events, and tells each sentence. It returns when the
// stream ends.
func ReadEvents(body io.Reader, tell func(Event)) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	name := ""
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "event: "):
			name = line[len("event: "):]
		case strings.HasPrefix(line, "data: ") && name == "raft":
			var e Event
			if json.Unmarshal([]byte(line[len("data: "):]), &e) == nil {
				tell(e)
			}
		case line == "":
			name = ""
		}
	}
	return lines.Err()
}
