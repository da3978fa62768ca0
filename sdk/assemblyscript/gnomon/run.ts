import { batchRead } from "./host";
import { current, fail } from "./fail";
import { Event, eachEvent } from "./event";
import { Settings } from "./settings";
import { State } from "./state";

class registered {
  static prepare: ((settings: Settings) => void) | null = null;
  static handle: ((event: Event, state: State) => void) | null = null;
}

const state: State = new State();

/**
 * Registers the projection's handler, once, at the top level of the module. It is called for
 * each event, in order. When it fails, all that it wrote is taken back.
 */
export function onEvent(handle: (event: Event, state: State) => void): void {
  if (registered.handle) throw new Error("onEvent is called twice: a module is one projection");
  registered.handle = handle;
}

/**
 * Registers a function that runs once in every instance, before anything else: it reads the
 * settings and prepares variables of the module. It has no state.
 */
export function onInit(prepare: (settings: Settings) => void): void {
  if (registered.prepare) throw new Error("onInit is called twice");
  registered.prepare = prepare;
}

/** What the host calls first. */
export function init(): i32 {
  current.event = -1;
  const prepare = registered.prepare;
  if (prepare) {
    const settings = new Settings();
    settings.read();
    prepare(settings);
    settings.done();
  }
  return 0;
}

/** What the host calls with a batch of events. */
export function apply(): i32 {
  const handle = registered.handle;
  if (!handle) {
    fail("no handler: call onEvent at the top level of the module");
    return 1;
  }
  eachEvent(batchRead, (event) => { registered.handle!(event, state); });
  return 0;
}
