import { codeText, configRead } from "./host";
import { fail } from "./fail";
import { JsonObject, Kind } from "./json";
import { Buffer, fill } from "./text";

/**
 * The projection's settings, [projection.settings] of the configuration. Each is asked for
 * with its default and its bounds. A setting of another kind, out of bounds, or that nobody
 * asks for fails the start of the module: a misspelt name is noticed.
 */
export class Settings {
  private json: JsonObject = new JsonObject();
  private bytes: Buffer = new Buffer();
  private asked: Set<string> = new Set<string>();

  read(): void {
    const n = fill(this.bytes.reset(), configRead);
    if (n < 0) fail("settings: " + codeText(n));
    this.json.open(this.bytes, "settings");
  }

  /** A whole number, min and max included. */
  int(name: string, otherwise: i64, min: i64 = i64.MIN_VALUE, max: i64 = i64.MAX_VALUE): i64 {
    if (!this.ask(name)) return otherwise;
    const value = this.json.int(name);
    if (value < min || value > max) fail("settings: " + name + " is " + value.toString() + ", not from " + min.toString() + " to " + max.toString());
    return value;
  }

  /** A number. */
  float(name: string, otherwise: f64): f64 {
    return this.ask(name) ? this.json.float(name) : otherwise;
  }

  /** true or false. */
  bool(name: string, otherwise: bool): bool {
    return this.ask(name) ? this.json.bool(name) : otherwise;
  }

  /** A string. */
  string(name: string, otherwise: string): string {
    return this.ask(name) ? this.json.string(name) : otherwise;
  }

  /** A table as an object of its own; empty when it is absent. */
  table(name: string): JsonObject {
    const table = new JsonObject();
    this.ask(name);
    table.open(new Buffer().set(this.json.kind(name) == Kind.Absent ? "{}" : this.json.raw(name).toString()), "settings." + name);
    return table;
  }

  private ask(name: string): bool {
    this.asked.add(name);
    return this.json.has(name);
  }

  /** Fails when there is a setting that nobody asked for. */
  done(): void {
    const names = this.json.names();
    for (let i = 0; i < names.length; i++) {
      if (this.asked.has(names[i])) continue;
      const known = this.asked.values();
      fail("settings: unknown setting \"" + names[i] + "\"; there " + (known.length == 0 ? "are none" : "is " + known.join(", ")));
    }
  }
}
