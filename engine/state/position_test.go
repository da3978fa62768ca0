package state

import (
	"encoding/json"
	"testing"
	"time"

	"gnomon/sdk/abi"
)

// Anchors reach far back, and there are few of them.
func TestAnchorsThinOut(t *testing.T) {
	var anchors []Anchor
	const last = 3_000_000
	for seq := uint64(1); seq <= last; seq += 7 {
		anchors = WithAnchor(anchors, Anchor{Sequence: seq})
		if len(anchors) > 8 {
			t.Fatalf("%d anchors at %d", len(anchors), seq)
		}
	}
	for i := 1; i < len(anchors); i++ {
		if anchors[i].Sequence >= anchors[i-1].Sequence {
			t.Errorf("anchors are not newest first: %d before %d", anchors[i-1].Sequence, anchors[i].Sequence)
		}
	}
	oldest := anchors[len(anchors)-1].Sequence
	if back := anchors[0].Sequence - oldest; back < 100_000 {
		t.Errorf("the oldest of %d anchors is only %d events back", len(anchors), back)
	}
}

func TestAnchorTellsEventsApart(t *testing.T) {
	e := abi.Record{Sequence: 5, TimeNs: time.Hour.Nanoseconds(), Subject: []byte("a.b"), Data: []byte("x")}
	a := AnchorOf(e)
	if !a.Same(AnchorOf(e)) {
		t.Error("an event differs from itself")
	}
	for name, change := range map[string]func(*abi.Record){
		"time":    func(r *abi.Record) { r.TimeNs++ },
		"subject": func(r *abi.Record) { r.Subject = []byte("a.c") },
		"data":    func(r *abi.Record) { r.Data = []byte("y") },
	} {
		other := e
		change(&other)
		if a.Same(AnchorOf(other)) {
			t.Errorf("an event with another %s has the same anchor", name)
		}
	}
}

func TestVersions(t *testing.T) {
	v := VersionAt(7)
	if v.Sequence() != 7 || v.Next(7) != v+1 || v.Next(8) != VersionAt(8) || v.Next(6) != v+1 {
		t.Errorf("versions after %d: %d, %d, %d", v, v.Next(7), v.Next(8), v.Next(6))
	}
}

// The digest does not depend on the order of keys, and taking a term away undoes
// adding it.
func TestDigest(t *testing.T) {
	a, b := Term([]byte("a"), []byte("1")), Term([]byte("b"), []byte("2"))
	var ab, ba, none Digest
	ab.Add(a)
	ab.Add(b)
	ba.Add(b)
	ba.Add(a)
	if ab != ba {
		t.Error("the digest depends on the order of keys")
	}
	text, err := json.Marshal(ab)
	var back Digest
	if err != nil || json.Unmarshal(text, &back) != nil || back != ab {
		t.Errorf("%s was read back as %s", text, back)
	}
	ab.Sub(a)
	ab.Sub(b)
	if ab != none {
		t.Errorf("an emptied digest is %s", ab)
	}
	if Term([]byte("a"), []byte("bc")) == Term([]byte("ab"), []byte("c")) {
		t.Error("the border between key and value does not count")
	}
}
