// What forms of data need beyond the page: this computer's time zone, and fields that fit the kind.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function prepare(root) {
  for (const list of root.querySelectorAll("datalist[data-zones]")) {
    if (list.childElementCount || !Intl.supportedValuesOf) continue;
    list.append(...[...Intl.supportedValuesOf("timeZone"), "UTC"].map((name) => new Option(name, name)));
  }
  for (const button of root.querySelectorAll("[data-use-zone]")) {
    const field = document.getElementById(button.dataset.useZone);
    if (!zone || field.value === zone) continue;
    button.querySelector("span").textContent = zone;
    button.hidden = false;
    field.addEventListener("input", () => { button.hidden = field.value === zone; });
    button.addEventListener("click", () => {
      field.value = zone;
      button.hidden = true;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
  for (const form of root.querySelectorAll("[data-source-form]")) {
    const fit = () => { form.querySelector("[data-for-http]").hidden = form.elements.kind.value !== "http"; };
    form.elements.kind.addEventListener("change", fit);
    fit();
  }
}
document.addEventListener("htmx:afterSettle", (event) => prepare(event.target));
prepare(document);
