package harness

import "raftlab/linearizability"

// Limited is a System that cannot be asked everything, as one without compare-and-set. The load leaves out what is not in
// Kinds, and nothing is missed for it. A System without it can be asked all four.
type Limited interface {
	Kinds() []linearizability.Kind
}

// Kinds are what a system can be asked.
func Kinds(s System) []linearizability.Kind {
	if limited, ok := s.(Limited); ok {
		return limited.Kinds()
	}
	return []linearizability.Kind{linearizability.Get, linearizability.Put, linearizability.Delete, linearizability.CAS}
}

// Only leaves out the kinds that are not in the list.
func (w Weights) Only(kinds []linearizability.Kind) Weights {
	if w == (Weights{}) {
		w = defaultWeights
	}
	var only Weights
	for _, kind := range kinds {
		switch kind {
		case linearizability.Get:
			only.Get = w.Get
		case linearizability.Put:
			only.Put = w.Put
		case linearizability.Delete:
			only.Delete = w.Delete
		case linearizability.CAS:
			only.CAS = w.CAS
		}
	}
	return only
}
