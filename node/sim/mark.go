package sim

import (
	"math/bits"
	"strings"
)

// Mark names an interesting thing that happened in a run. A thing that no run of a swarm has seen was not tested.
type Mark uint8

const (
	preVoteRefused Mark = iota
	voteRefusedLog
	voteRefusedVoted
	voteIgnored
	electionSplit
	deposedByMajority
	deposedByTerm
	deposedByDisk
	transferDone
	transferGivenUp
	leaderRemoved
	logCut
	configurationCut
	messageCut
	messageTwice
	messageOvertook
	messageHeld
	messageToAnotherLife
	messageStrayed
	snapshotTaken
	snapshotFailed
	snapshotSent
	snapshotInstalled
	snapshotLost
	snapshotLate
	snapshotOfDeposed
	snapshotOvertaken
	snapshotBehind
	snapshotOldMembers
	snapshotOtherHistory
	crashedAtCall
	crashedInRecovery
	crashedAtSend
	crashedInSave
	tornCut
	mended
	fileRotated
	prefixDropped
	diskFull
	syncFailed
	corruptionRefused
	logLostRefused
	wipedRejoined
	learnerPromoted
	voterRemoved
	removedCampaigns
	changePending
	removedRefused
	promotionRefused
	writeUnknownDone
	writeUnknownNot
	writeFailedSure
	sessionRepeated
	keyReused
	keyForgotten
	begunAnew
	conditionFailed
	readAtFollower
	readGivenUp
	overloaded
	memberPaused
	clockJumped
	stoppedOrderly
	healedDeaf
	healedHungLeader
	healedBehindSnapshot
	witnessPassed
	struckAtCommit
	struckAtStream
	endedWriting

	// That a check was made at all, which no failure would show.
	checkedReadGranted
	checkedListed
	checkedRestored
	checkedAnswered
	checkedSnapshotKept
	checkedNewestKept
	checkedStartsOn
	checkedLeads
	checkedChanges
	checkedCampaigns
	checkedReconfigured
	checkedHandedOver
	checkedRemoved
	checkedChangeAnswered
	checkedLinearizable

	markCount
)

var markNames = [markCount]string{
	preVoteRefused: "pre-vote-refused", voteRefusedLog: "vote-refused-log-behind", voteRefusedVoted: "vote-refused-already-voted",
	voteIgnored: "vote-ignored-leader-heard", electionSplit: "election-split", deposedByMajority: "leader-hears-no-majority",
	deposedByTerm: "leader-meets-newer-term", deposedByDisk: "leader-with-stalled-disk", transferDone: "transfer-done",
	transferGivenUp: "transfer-given-up", leaderRemoved: "leader-removed", logCut: "log-cut", configurationCut: "configuration-truncated",
	messageCut: "message-cut", messageTwice: "message-twice", messageOvertook: "message-overtook", messageHeld: "message-held-by-clog",
	messageToAnotherLife: "message-to-another-life", messageStrayed: "message-of-another-cluster", snapshotTaken: "snapshot-taken", snapshotFailed: "snapshot-failed",
	snapshotSent: "snapshot-sent", snapshotInstalled: "snapshot-installed", snapshotLost: "snapshot-lost-and-sent-again",
	snapshotLate: "snapshot-of-no-use", snapshotOfDeposed: "leader-deposed-during-install", snapshotOvertaken: "snapshot-overtaken-by-a-newer", snapshotBehind: "snapshot-arrives-behind-the-commit",
	snapshotOldMembers: "snapshot-with-older-members-arrives-late", snapshotOtherHistory: "snapshot-replaces-another-history",
	crashedAtCall: "crash-at-a-file-system-call", crashedInRecovery: "crash-in-recovery", crashedInSave: "crash-during-a-save", crashedAtSend: "crash-between-two-sends",
	tornCut: "torn-record-cut", mended: "log-mended-after-snapshot", fileRotated: "log-file-followed-by-another", prefixDropped: "log-files-dropped",
	diskFull: "disk-full", syncFailed: "fsync-failed", corruptionRefused: "corruption-refused", logLostRefused: "log-lost-refused", wipedRejoined: "wiped-member-rejoined",
	learnerPromoted: "learner-promoted", voterRemoved: "voter-removed", removedCampaigns: "removed-member-campaigns",
	changePending: "change-refused-one-is-pending", removedRefused: "removed-id-refused", promotionRefused: "promotion-refused-not-caught-up", writeUnknownDone: "unknown-write-was-done",
	writeUnknownNot: "unknown-write-was-not-done", writeFailedSure: "write-failed-for-certain", sessionRepeated: "session-answered-a-retry", keyReused: "key-used-for-another-request",
	keyForgotten: "retry-refused-its-key-is-forgotten", begunAnew: "write-begun-anew-after-silence",
	conditionFailed: "condition-failed", readAtFollower: "read-at-a-follower", readGivenUp: "read-given-up", overloaded: "overloaded",
	memberPaused: "member-paused", clockJumped: "clock-jumped", stoppedOrderly: "stopped-in-order", healedDeaf: "healed-beside-a-deaf-member", healedHungLeader: "healed-while-the-leader's-disk-hangs",
	healedBehindSnapshot: "healed-by-a-snapshot", witnessPassed: "claims-judged-by-the-witness", struckAtCommit: "leader-struck-as-it-commits",
	struckAtStream: "leader-struck-as-it-sends-a-snapshot", endedWriting: "ended-while-it-writes",
	checkedReadGranted:    "read-granted-checked",
	checkedListed:         "list-checked",
	checkedRestored:       "restored-state-checked",
	checkedAnswered:       "answer-checked",
	checkedSnapshotKept:   "snapshot-kept-checked",
	checkedNewestKept:     "newest-snapshot-checked",
	checkedStartsOn:       "start-checked",
	checkedLeads:          "leader-is-member-checked",
	checkedChanges:        "change-checked",
	checkedCampaigns:      "campaign-checked",
	checkedReconfigured:   "configuration-checked",
	checkedHandedOver:     "hand-over-checked",
	checkedRemoved:        "removed-stays-removed-checked",
	checkedChangeAnswered: "answered-change-checked",
	checkedLinearizable:   "history-judged-key-by-key",
}

func (m Mark) String() string { return markNames[m] }

// Marks is a set of them. Two are compared with ==.
type Marks [2]uint64

var _ [64*len(Marks{}) - int(markCount)]struct{} // all have room

// Has reports whether the mark is in the set.
func (s Marks) Has(m Mark) bool { return s[m/64]&(1<<(m%64)) != 0 }

// Add puts a mark in.
func (s *Marks) Add(m Mark) { s[m/64] |= 1 << (m % 64) }

// Join puts in what another set has.
func (s *Marks) Join(other Marks) {
	for i := range s {
		s[i] |= other[i]
	}
}

// Count is the number of marks in the set.
func (s Marks) Count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// AllMarks lists every mark.
func AllMarks() []Mark {
	all := make([]Mark, markCount)
	for i := range all {
		all[i] = Mark(i)
	}
	return all
}

func (w *world) mark(m Mark) { w.marks.Add(m) }

// sentenceMarks are read from the words that the members themselves say.
var sentenceMarks = []struct {
	words string
	mark  Mark
}{
	{"would not vote for", preVoteRefused}, {"a vote: its log is behind", voteRefusedLog}, {"a vote: already voted", voteRefusedVoted},
	{"ignore ", voteIgnored}, {"hear no majority", deposedByMajority}, {"disk that finishes nothing", deposedByDisk},
	{"keep leadership", transferGivenUp}, {"am removed", leaderRemoved}, {"cut entries", logCut}, {" again", configurationCut},
	{"have a snapshot", snapshotTaken}, {"send the snapshot", snapshotLost}, {"restart the log after", snapshotInstalled},
	{": promote ", learnerPromoted},
}

// heard reads a sentence that a member said.
func (w *world) heard(sentence string) {
	for i := range sentenceMarks {
		s := &sentenceMarks[i]
		if !w.marks.Has(s.mark) && strings.Contains(sentence, s.words) {
			if s.mark == configurationCut && !strings.HasSuffix(sentence, " again") {
				continue
			}
			w.mark(s.mark)
		}
	}
	w.tell("%s", sentence)
}
