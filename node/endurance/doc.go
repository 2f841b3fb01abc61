// Package endurance has nothing but tests: the whole program, as processes on real disks, through what an operator's year
// brings. Every operation of every client goes into a history that a checker decides on. The README says what was shown,
// with which command, and what was measured.
package endurance
