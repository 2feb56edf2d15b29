package frames

import (
	"bytes"
	"hash/maphash"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// dictionary numbers the distinct texts of a column within one batch, from 0. It
// keeps them encoded as the dictionary field of a wire.Column already, and allocates
// nothing once its buffers have grown: a map of strings would allocate for every
// distinct text, which in a column of unique ids is every row.
type dictionary struct {
	seed    maphash.Seed
	slots   []uint32 // open addressing; 1 + the entry's number, or 0
	entries []entry
	encoded []byte

	// last is the entry found before: a grouped answer repeats a text row after row.
	last    uint32
	hasLast bool
}

type entry struct {
	from, to uint32 // of the text in encoded
	hash     uint32
}

const minSlots = 64

func (d *dictionary) reset() {
	if d.slots == nil {
		d.seed = maphash.MakeSeed()
		d.slots = make([]uint32, minSlots)
	} else if len(d.entries) > 0 {
		clear(d.slots)
	}
	d.entries, d.encoded, d.hasLast = d.entries[:0], d.encoded[:0], false
}

// add returns text's number. What is not UTF-8 in it becomes U+FFFD, since
// protobuf has no other strings.
func (d *dictionary) add(text []byte) uint32 {
	if d.hasLast && bytes.Equal(d.text(d.last), text) {
		return d.last
	}
	n, hash, found := d.find(text)
	if !found {
		if !utf8.Valid(text) {
			text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
			if n, hash, found = d.find(text); found {
				d.last, d.hasLast = n, true
				return n
			}
		}
		n = d.insert(text, hash)
	}
	d.last, d.hasLast = n, true
	return n
}

func (d *dictionary) text(n uint32) []byte { return d.encoded[d.entries[n].from:d.entries[n].to] }

func (d *dictionary) find(text []byte) (n, hash uint32, found bool) {
	hash = uint32(maphash.Bytes(d.seed, text))
	mask := uint32(len(d.slots) - 1)
	for i := hash & mask; d.slots[i] != 0; i = (i + 1) & mask {
		n := d.slots[i] - 1
		if d.entries[n].hash == hash && bytes.Equal(d.text(n), text) {
			return n, hash, true
		}
	}
	return 0, hash, false
}

func (d *dictionary) insert(text []byte, hash uint32) uint32 {
	if 2*len(d.entries) >= len(d.slots) {
		d.slots = make([]uint32, 2*len(d.slots))
		for n, e := range d.entries {
			d.place(e.hash, uint32(n))
		}
	}
	n := uint32(len(d.entries))
	d.place(hash, n)
	d.encoded = protowire.AppendTag(d.encoded, columnDictionary, protowire.BytesType)
	d.encoded = protowire.AppendVarint(d.encoded, uint64(len(text)))
	from := uint32(len(d.encoded))
	d.encoded = append(d.encoded, text...)
	d.entries = append(d.entries, entry{from, uint32(len(d.encoded)), hash})
	return n
}

func (d *dictionary) place(hash, n uint32) {
	mask := uint32(len(d.slots) - 1)
	i := hash & mask
	for d.slots[i] != 0 {
		i = (i + 1) & mask
	}
	d.slots[i] = n + 1
}
