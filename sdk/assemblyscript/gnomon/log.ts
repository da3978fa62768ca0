import { logEnabled, logLine } from "./host";
import { Buffer, bytesOf } from "./text";

/** How much a line matters. */
export enum Level { Debug = -4, Info = 0, Warn = 4, Error = 8 }

const line: Buffer = new Buffer();

/**
 * Lines of the engine's log, under the projection's name. They are cut at 4 KiB, and the
 * engine drops those of a projection that writes too many. Texts are strings or `Text`.
 */
export namespace log {
  /** Whether a line of the level would be kept. Nothing but the log may depend on it. */
  export function enabled(level: Level): bool { return logEnabled(level) != 0; }
  /** A line for those who look for a fault. */
  export function debug<T>(text: T): void { write(Level.Debug, text); }
  /** A line about what happens. */
  export function info<T>(text: T): void { write(Level.Info, text); }
  /** A line about something that may be wrong. */
  export function warn<T>(text: T): void { write(Level.Warn, text); }
  /** A line about something that is wrong. It does not make the event fail. */
  export function error<T>(text: T): void { write(Level.Error, text); }
}

function write<T>(level: Level, text: T): void {
  const bytes = bytesOf(text, line);
  logLine(level, bytes.ptr, bytes.length);
}
