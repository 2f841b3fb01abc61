package kv

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var commands = []Command{
	{Op: Put, Key: "k", Value: []byte("v"), ContentType: "text/plain"},
	{Op: Put, Key: "k", Value: []byte{}},
	{Op: Put, Key: strings.Repeat("k", KeyBytesMax), Value: make([]byte, ValueBytesMax), ContentType: strings.Repeat("t", ContentTypeBytesMax)},
	{Op: Put, Key: "k", Value: []byte(`{"a":1}`), ContentType: "application/json", IfMatch: 1<<64 - 1},
	{Op: Put, Key: "k", Value: []byte("v"), IfExists: true},
	{Op: Put, Key: "k", Value: []byte("v"), IfNoneMatch: true},
	{Op: Delete, Key: "a/b\x00ü"},
	{Op: Delete, Key: "k", IfMatch: 7},
	{Op: Delete, Key: "k", IfExists: true},
	{Op: Put, Key: "k", Value: []byte("v"), IfMatch: 7, IdempotencyKey: "i"},
	{Op: Delete, Key: "k", IdempotencyKey: strings.Repeat("i", IdempotencyKeyBytesMax)},
	{Op: Put, Key: "k", Value: []byte("v"), IfMatch: 7, IdempotencyKey: "i", Since: 1<<64 - 1},
}

func encode(t testing.TB, c Command) []byte {
	t.Helper()
	b, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatalf("encode %+v: %v", c, err)
	}
	if len(b) != c.Size() {
		t.Fatalf("Size says %d, the encoding has %d bytes", c.Size(), len(b))
	}
	return b
}

func TestDecodeReadsWhatAppendBinaryWrote(t *testing.T) {
	for _, c := range commands {
		got, err := Decode(encode(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("-wrote +read\n%s", diff)
		}
	}
}

func TestDecodedValueDoesNotShareTheEntry(t *testing.T) {
	b := encode(t, commands[0])
	c, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if c.Key != "k" || string(c.Value) != "v" || c.ContentType != "text/plain" {
		t.Errorf("changed with the buffer of the entry: %+v", c)
	}
}

func TestAppendBinaryRefusesWhatDecodeWould(t *testing.T) {
	for name, c := range map[string]Command{
		"no op":              {Key: "k"},
		"unknown op":         {Op: 9, Key: "k"},
		"no key":             {Op: Put},
		"long key":           {Op: Put, Key: strings.Repeat("k", KeyBytesMax+1)},
		"long value":         {Op: Put, Key: "k", Value: make([]byte, ValueBytesMax+1)},
		"long content type":  {Op: Put, Key: "k", ContentType: strings.Repeat("t", 256)},
		"delete with value":  {Op: Delete, Key: "k", Value: []byte("v")},
		"two conditions":     {Op: Put, Key: "k", IfMatch: 1, IfNoneMatch: true},
		"two conditions, b":  {Op: Put, Key: "k", IfExists: true, IfNoneMatch: true},
		"long idempotency":   {Op: Delete, Key: "k", IdempotencyKey: strings.Repeat("i", IdempotencyKeyBytesMax+1)},
		"since, without key": {Op: Delete, Key: "k", Since: 1},
		"delete with a type": {Op: Delete, Key: "k", ContentType: "text/plain"},
	} {
		if _, err := c.AppendBinary(nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

func TestDecodeRefusesEveryPrefixAndEveryAddition(t *testing.T) {
	for _, c := range append(commands[:2:2], commands[9], commands[11]) {
		b := encode(t, c)
		for n := range b {
			if _, err := Decode(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("first %d of %d bytes: %v, want ErrMalformed", n, len(b), err)
			}
		}
		if _, err := Decode(append(b, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("a byte too many: %v, want ErrMalformed", err)
		}
	}
}

// Whatever the bytes are, Decode returns; and what it accepts has no other encoding. Two members can then
// not take the same bytes for different commands, nor different bytes for one.
func FuzzDecode(f *testing.F) {
	for _, c := range commands {
		if len(c.Value) < 1<<10 {
			f.Add(encode(f, c))
		}
	}
	f.Add([]byte{1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'k', 0, 0, 0, 0, 0})          // condition on index 0
	f.Add([]byte{1, 1, 0, 0, 1, 'k', 0, 0xff, 0xff, 0xff, 0xff})                      // value of 4 GiB
	f.Add([]byte{2, 1, 0, 0, 1, 'k', 0, 0, 0, 0, 0})                                  // version of tomorrow
	f.Add([]byte{1, 1, 32, 0, 1, 'k', 0, 0, 0, 0, 0})                                 // flag of tomorrow
	f.Add([]byte{1, 1, 24, 1, 'i', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'k', 0, 0, 0, 0, 0}) // since entry 0
	f.Add([]byte{1, 1, 8, 0, 0, 1, 'k', 0, 0, 0, 0, 0})                               // empty idempotency key
	f.Add([]byte{1, 1, 6, 0, 1, 'k', 0, 0, 0, 0, 0})                                  // two conditions
	f.Add(append([]byte{1, 1, 0, 2, 1}, append(make([]byte, 513), 0, 0, 0, 0, 0)...)) // key of 513 bytes
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		again, err := c.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is read as %+v, which is written as %x (%v)", b, c, again, err)
		}
	})
}
