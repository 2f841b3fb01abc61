// Command swarm runs seeds of the simulator until one fails: the smallest program that a planted bug can be compiled
// into. It prints the seed and the failure, and how many seeds it ran.
package main

import (
	"fmt"
	"os"
	"strconv"

	"raftlab/node/sim"
)

func main() {
	first, _ := strconv.ParseUint(os.Args[1], 10, 64)
	count, _ := strconv.ParseUint(os.Args[2], 10, 64)
	for seed := first; seed < first+count; seed++ {
		r, err := sim.Run(seed, sim.Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		if r.Failure != nil {
			fmt.Printf("seed %d, the %dth: %v\n", seed, seed-first+1, r.Failure)
			os.Exit(1)
		}
	}
	fmt.Printf("%d seeds, nothing found\n", count)
}
