// The SDK for projections in AssemblyScript: docs/authoring/assemblyscript.md is the guide,
// docs/ABI.md the contract that it speaks. The entry file of a module exports what the host
// calls, `export { apply, init } from "gnomon"`, and query, migrate, snapshot and restore, or
// upcast, where it has them; and it registers handlers at its top level.

export { init, apply, onInit, onEvent } from "./run";
export { query, onRequest } from "./query";
export { snapshot, restore, onSnapshot } from "./memory";
export { migrate, onMigrate } from "./migrate";
export { upcast, onUpcast, Upcast } from "./upcast";
export { Event, Field } from "./event";
export { State, Reader, Scan, Value } from "./state";
export { Settings } from "./settings";
export { Text, Buffer } from "./text";
export { JsonObject, JsonWriter, Kind } from "./json";
export { emit } from "./emit";
export { fail } from "./fail";
export { log, Level } from "./log";
