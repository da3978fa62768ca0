// Exports everything, and registers nothing.
export { apply, init, query, restore, snapshot } from "gnomon";
