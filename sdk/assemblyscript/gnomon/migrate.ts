import { current, fail } from "./fail";
import { State } from "./state";

class registered {
  static handle: ((from: i32, state: State) => void) | null = null;
}

const state: State = new State();

/**
 * Registers what takes over a state of an older schema, once, at the top level of the module,
 * which must export `migrate`, too. It is told that schema, 0 when none was declared, and
 * rewrites the state into the form of this module; all that it writes, 8 MiB and 65,536 keys at
 * most, is committed as a whole. When it fails nothing was written. There is no event.
 */
export function onMigrate(handle: (from: i32, state: State) => void): void {
  if (registered.handle) throw new Error("onMigrate is called twice");
  registered.handle = handle;
}

/** What the host calls with the schema of an older state. */
export function migrate(from: i32): i32 {
  current.event = -1;
  const handle = registered.handle;
  if (!handle) {
    fail("the module exports migrate, but does not call onMigrate");
    return 1;
  }
  handle(from, state);
  return 0;
}
