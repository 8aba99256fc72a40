// Puts the age and the viewer's own time into the tooltip of every instant; the text itself stays UTC.
(() => {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const age = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const explain = (node) => {
    const at = new Date(node.dateTime);
    if (Number.isNaN(at.getTime())) return;
    const seconds = (at - Date.now()) / 1000;
    const [unit, size] = units.find(([, each]) => Math.abs(seconds) >= each) || units[3];
    node.title = `${age.format(Math.round(seconds / size), unit)} · your time ${local.format(at)}`;
  };
  const all = (root) => root.querySelectorAll?.("time.pn-time").forEach(explain);
  document.addEventListener("DOMContentLoaded", () => all(document));
  document.addEventListener("htmx:load", (event) => all(event.detail.elt));
})();
