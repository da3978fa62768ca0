// Events by the first token of their subject, in the module's own memory.
import { Buffer, Text, onEvent, onRequest, onSnapshot } from "gnomon";
export { apply, init, query, restore, snapshot } from "gnomon";

let counts = new Map<string, i64>();

onEvent((event, state) => {
  const name = event.token(1).toString();
  counts.set(name, (counts.has(name) ? counts.get(name) : 0) + event.data.length);
});

onRequest((request, state, answer) => {
  const name = request.toString();
  answer.int(counts.has(name) ? counts.get(name) : 0);
});

// Padding makes it a snapshot of several blobs.
onSnapshot(save, load);

function save(out: Buffer): void {
  const names = counts.keys().sort();
  for (let i = 0; i < names.length; i++) out.add(names[i]).add(" ").int(counts.get(names[i])).add("\n");
  for (let i = 0; i < 700_000; i++) out.byte(0x2e);
}

function load(from: Text): void {
  counts = new Map<string, i64>();
  const lines = from.toString().split("\n");
  for (let i = 0; i < lines.length - 1; i++) {
    const pair = lines[i].split(" ");
    counts.set(pair[0], I64.parseInt(pair[1]));
  }
}
