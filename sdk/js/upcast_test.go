package js_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"gnomon/engine/guest"
	"gnomon/sdk/abi"
)

const upcaster = `export const settings = { suffix: "" };
let handled = 0;
export async function upcast(event, out) {
  handled++;
  switch (event.type) {
    case "named": {
      const [first, last] = event.string("name").split(" ");
      return out.put(event.subject + settings.suffix, { first, last }, { "ce-type": "named.v2", TRACE: "", a: "1", z: 2 });
    }
    case "list":
      for (const item of event.data) out.put("item." + item, String(item));
      return out.put("item", new Uint8Array([255, 0]));
    case "test": return;
    case "none": return out.put("");
    case "long": return out.put("s".repeat(1025));
    case "headers": return out.put("s", "", { a: "x".repeat(40000), b: "x".repeat(30000) });
    case "nameless": return out.put("s", "", { "": "x" });
    case "half": return out.put("s", "\ud800");
    case "emits": return emit("a");
    case "throws": throw new Error("unknown form");
    case "over": globalThis.kept = out; return out.keep();
  }
  out.keep();
}`

// made is what an upcaster makes of events, a line for each.
func (r *rig) made(records ...abi.Record) (lines []string, err error) {
	r.t.Helper()
	var batch []byte
	for i := range records {
		batch = records[i].Append(batch)
	}
	out, err := r.in.Upcast(r.t.Context(), batch)
	for err == nil && len(out) > 0 {
		var made abi.Record
		if made, out, err = abi.Next(out); err == nil {
			lines = append(lines, fmt.Sprintf("%d %s %q %q", made.Sequence, made.Subject, made.Headers, made.Data))
		}
	}
	return lines, err
}

// A script that exports upcast is an upcaster: for each event it hands on others, several or
// none, with the event's own headers but for those that are given, or the event as it is.
func TestUpcast(t *testing.T) {
	m, err := load(t, upcaster)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Traits(), (guest.Traits{Upcasts: true}); got != want {
		t.Errorf("traits %+v, want %+v", got, want)
	}
	r, err := instantiate(t, m, `{"suffix":".v2"}`, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.made(
		event(1, "named", `{"name":"Ada Lövelace"}`, "Trace", "t", "b", "2"),
		event(2, "list", `["x","y"]`),
		event(3, "test", ""),
		event(4, "other", "\x00\xff", "Trace", "\xff"),
	)
	headers := func(pairs ...string) (encoded []byte) {
		for i := 0; i < len(pairs); i += 2 {
			encoded, _ = abi.AppendHeader(encoded, pairs[i], pairs[i+1])
		}
		return encoded
	}
	listed := headers("ce-type", "list")
	want := []string{
		fmt.Sprintf(`1 bank.accounts.a-1.v2 %q %q`, headers("a", "1", "b", "2", "ce-type", "named.v2", "z", "2"), `{"first":"Ada","last":"Lövelace"}`),
		fmt.Sprintf(`2 item.x %q "x"`, listed), fmt.Sprintf(`2 item.y %q "y"`, listed), fmt.Sprintf(`2 item %q "\xff\x00"`, listed),
		fmt.Sprintf(`4 bank.accounts.a-1 %q "\x00\xff"`, headers("Trace", "\xff", "ce-type", "other")),
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); err != nil || a != b {
		t.Errorf("made\n%s\n%v; want\n%s", a, err, b)
	}
	for kind, want := range map[string]string{
		"none": "subject of 0 bytes: it must have 1 to 1024", "long": "subject of 1025 bytes", "headers": "headers of 70",
		"nameless": "a header needs a name", "half": "the data of an event has half of a surrogate pair",
		"emits": "an upcaster emits nothing", "throws": "unknown form",
	} {
		r, err := instantiate(t, m, "{}", 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = r.made(event(1, "other", ""), event(2, kind, "")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", kind, err, want)
		}
	}
}

// A state of an older schema is rewritten by migrate, which reads and writes it as onEvent
// does; what it throws is told.
func TestMigrate(t *testing.T) {
	m, err := load(t, `export function onEvent() {}
export async function migrate(from, state) {
  if (from === 9) throw new Error("schema 9 is not known");
  if (from === 8) emit("a", "b");
  for (const [key] of [...state.scan("account.")]) state.fold(key, {}, ({ units }) => ({ cents: 100 * units }));
  state.delete("old");
  state.put("migrated", from + " " + [...state.scan("")].length);
}`)
	if err != nil {
		t.Fatal(err)
	}
	older := map[string]string{"account.1": `{"units":4}`, "account.2": `{"units":-1}`, "old": "x"}
	for from, want := range map[int]string{2: "", 9: "schema 9 is not known", 8: "emit belongs into onEvent"} {
		r, err := instantiate(t, m, "{}", 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(r.state.rows, older)
		err = r.in.Migrate(t.Context(), from, &r.state)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("from %d: error %v, want %s", from, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r.want("account.1", `{"cents":400}`, "account.2", `{"cents":-100}`, "migrated", "2 2")
	}
}
