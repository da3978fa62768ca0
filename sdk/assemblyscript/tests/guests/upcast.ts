// Splits, renames, drops and keeps events.
import { fail, onUpcast } from "gnomon";
export { init, upcast } from "gnomon";

onUpcast((event, out) => {
  if (event.is("dropped")) return;
  if (event.is("broken")) fail("cannot be read");
  if (!event.is("pair")) return out.keep();
  out.put(event.subject, event.text("left"), "left");
  out.put("right." + event.token(2).toString(), event.string("right"));
});
