package main

import (
	"encoding/hex"
	"fmt"
)

const (
	keyBytes      = 12
	valueBytesMin = 64
)

// appendKey writes the i-th key: 12 bytes, a letter and eleven digits.
func appendKey(b []byte, i int) []byte { return fmt.Appendf(b, "k%011d", i) }

// values makes values that can be told apart and judged later: a JSON string with the key that it was written
// to, the run's mark, and the number of the write. Reading it back shows whether it is the last one.
type values struct {
	template []byte
}

// Positions in a value: "kkkkkkkkkkkk-mmmmmmmmmmmmmmmm-nnnnnnnnnnnn-padding"
const (
	valueKeyAt    = 1
	valueMarkAt   = valueKeyAt + keyBytes + 1
	valueNumberAt = valueMarkAt + 16 + 1
	valueNumber   = 12
	valuePadAt    = valueNumberAt + valueNumber + 1
)

func newValues(size int, mark uint64) values {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	t := make([]byte, size)
	t[0], t[size-1] = '"', '"'
	t[valueMarkAt-1], t[valueNumberAt-1], t[valuePadAt-1] = '-', '-', '-'
	var m [8]byte
	for i := range m {
		m[i] = byte(mark >> (56 - 8*i))
	}
	hex.Encode(t[valueMarkAt:], m[:])
	x := mark | 1
	for i := valuePadAt; i < size-1; i++ {
		x = x*6364136223846793005 + 1442695040888963407
		t[i] = letters[(x>>33)%uint64(len(letters))]
	}
	return values{t}
}

// fill makes v, which fill has made before or is empty, the value of the given write to the key.
func (vs values) fill(v, key []byte, number uint64) []byte {
	if len(v) != len(vs.template) {
		v = append(v[:0], vs.template...)
	}
	copy(v[valueKeyAt:], key)
	for i := valueNumberAt + valueNumber - 1; i >= valueNumberAt; i-- {
		v[i] = byte('0' + number%10)
		number /= 10
	}
	return v
}

// belongs says whether the value was written to the key by any run of this program with values of this size.
func (vs values) belongs(value, key []byte) bool {
	return len(value) == len(vs.template) && string(value[valueKeyAt:valueKeyAt+keyBytes]) == string(key)
}
