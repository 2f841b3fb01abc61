package linearizability

// possible is the definition of linearizability written down once more, slowly, for small histories: try every
// order of every choice of the unknown operations. It shares nothing with the model, porcupine or the patterns.
func possible(ops []Operation) bool {
	var must, may []Operation
	for _, op := range ops {
		switch op.Outcome {
		case OK:
			must = append(must, op)
		case Unknown, "":
			if op.Kind != Get {
				may = append(may, op)
			}
		case Failed:
		}
	}
	return place(must, may, nil)
}

// place puts one operation after the other; nil is an absent key.
func place(must, may []Operation, holds *string) bool {
	if len(must) == 0 {
		return true // whatever is unknown and left over never happened
	}
	// Whoever comes next must not have been called after another operation had returned.
	for i, op := range must {
		if calledAfterAny(op, must) {
			continue
		}
		if ok, after := happens(op, holds); ok && place(without(must, i), may, after) {
			return true
		}
	}
	for i, op := range may {
		if calledAfterAny(op, must) {
			continue
		}
		after := holds
		switch {
		case op.Kind == Put:
			after = &op.Value
		case op.Kind == Delete:
			after = nil
		case holds != nil && *holds == op.Expect:
			after = &op.Value
		}
		if place(must, without(may, i), after) {
			return true
		}
	}
	return false
}

func calledAfterAny(op Operation, others []Operation) bool {
	for _, other := range others {
		if other.Return < op.Call {
			return true
		}
	}
	return false
}

func happens(op Operation, holds *string) (bool, *string) {
	switch op.Kind {
	case Get:
		return (holds == nil) == (op.Got == nil) && (holds == nil || *holds == *op.Got), holds
	case Put:
		return true, &op.Value
	case Delete:
		return true, nil
	default:
		same := holds != nil && *holds == op.Expect
		if same {
			return op.Swapped, &op.Value
		}
		return !op.Swapped, holds
	}
}

func without(ops []Operation, i int) []Operation {
	rest := make([]Operation, 0, len(ops)-1)
	return append(append(rest, ops[:i]...), ops[i+1:]...)
}
