package driver

import (
	"log/slog"
	"time"
)

// violationsEvery bounds the lines about messages that no correct member sends: who sends one may send millions.
const violationsEvery = time.Second

// violations tells of messages that Raft refused (raft.Config.Violation). The first is told at once, and what follows
// within violationsEvery is counted. It is owned by the loop.
type violations struct {
	logger *slog.Logger
	told   time.Time
	untold int
}

func (v *violations) tell(sentence string) {
	if time.Since(v.told) < violationsEvery {
		v.untold++
		return
	}
	v.logger.Error("dropped a message that no correct member sends: a stranger who speaks as a member, a member with a bug, or damaged memory",
		"message", sentence, "more", v.untold)
	v.told, v.untold = time.Now(), 0
}
