// What every page does: times in the viewer's zone, charts, confirmations, uploads, lost connections.
import { drawCharts } from "./charts.js";

export const texts = JSON.parse(document.getElementById("texts").textContent);
const language = texts.language;

const styles = {
  datetime: { dateStyle: "medium", timeStyle: "short" },
  date: { dateStyle: "medium" },
  time: { timeStyle: "short" },
  day: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
};

function ago(moment) {
  const seconds = (moment - Date.now()) / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  }
  return texts.now;
}

function writeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    const style = element.dataset.style;
    const whole = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
    element.title = whole.format(moment);
    element.textContent = style === "ago"
      ? ago(moment)
      : new Intl.DateTimeFormat(language, styles[style] ?? styles.datetime).format(moment);
  }
}

export function say(text, kind = "bad") {
  const box = document.createElement("div");
  box.className = `message ${kind}`;
  const inner = document.createElement("div");
  inner.textContent = text;
  box.append(inner);
  document.getElementById("messages").append(box);
  setTimeout(() => box.remove(), 8000);
}

function confirmed(text) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("#confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// A form with data-confirm asks first; one with data-once is sent once however often it is clicked.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method === "dialog") return;
  if (form.dataset.sent) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  if (form.dataset.confirm && !form.dataset.agreed) {
    event.preventDefault();
    event.stopImmediatePropagation();
    const button = event.submitter;
    if (await confirmed(form.dataset.confirm)) {
      form.dataset.agreed = "yes";
      form.requestSubmit(button);
    }
    return;
  }
  delete form.dataset.agreed;
  if ("once" in form.dataset) {
    form.dataset.sent = "yes";
    // Disabled only after the browser has read the form, or the button's own value would be lost.
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
    });
  }
}, true);

function allowAgain(root) {
  for (const form of root.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-busy");
  }
}
// The back button may bring a page back as it was left.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  allowAgain(document);
  location.reload();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

document.addEventListener("click", async (event) => {
  const target = event.target.closest("[data-close], [data-menu], [data-copy]");
  if (!target) return;
  if ("close" in target.dataset) target.closest(".message").remove();
  if ("menu" in target.dataset) {
    const open = document.getElementById("menu").classList.toggle("open");
    target.setAttribute("aria-expanded", String(open));
  }
  if (target.dataset.copy !== undefined) {
    await navigator.clipboard.writeText(target.dataset.copy);
    say(texts.copied, "good");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.getElementById("menu")?.classList.remove("open");
});

// A file is sent as it is, with its progress shown; the answer says where to go on.
//   <label class="drop" data-upload="/where?name="><input type="file">…<progress hidden></progress></label>
function upload(drop, file) {
  const bar = drop.querySelector("[data-bar]");
  const request = new XMLHttpRequest();
  request.open("POST", drop.dataset.upload + encodeURIComponent(file.name));
  request.setRequestHeader("content-type", "application/octet-stream");
  request.setRequestHeader("hx-request", "true");
  request.upload.onprogress = (event) => {
    const share = event.lengthComputable ? event.loaded / event.total : 0;
    if (bar) bar.textContent = `${texts.uploading} ${Math.round(share * 100)} %`;
  };
  request.onerror = () => { drop.removeAttribute("aria-busy"); say(texts.failed); };
  request.onload = () => {
    drop.removeAttribute("aria-busy");
    const next = request.getResponseHeader("hx-redirect");
    if (next) { location.assign(next); return; }
    if (bar) bar.textContent = "";
    const where = request.status >= 400 ? "#messages" : drop.dataset.into;
    const place = document.querySelector(where);
    place.insertAdjacentHTML("beforeend", request.responseText);
    htmx.process(place);
    prepare(place);
  };
  drop.setAttribute("aria-busy", "true");
  request.send(file);
}

function prepareDrops(root) {
  for (const drop of root.querySelectorAll("[data-upload]")) {
    if (drop.dataset.ready) continue;
    drop.dataset.ready = "yes";
    const input = drop.querySelector("input[type=file]");
    input.addEventListener("change", () => input.files[0] && upload(drop, input.files[0]));
    drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files[0]) upload(drop, event.dataTransfer.files[0]);
    });
  }
}

const offline = document.querySelector("[data-offline]");
const lost = (is) => { offline.hidden = !is; };
addEventListener("offline", () => lost(true));
addEventListener("online", () => lost(false));
document.addEventListener("htmx:sendError", () => lost(true));
document.addEventListener("htmx:afterOnLoad", () => lost(false));
document.addEventListener("htmx:sseError", () => lost(true));
document.addEventListener("htmx:sseOpen", () => lost(false));
document.addEventListener("htmx:sseClose", (event) => {
  if (event.detail.type === "message" && event.target.closest("[data-reload-on]")) location.reload();
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target instanceof HTMLFormElement) allowAgain(event.target.parentElement ?? document);
});

function prepare(root) {
  writeTimes(root);
  prepareDrops(root);
  drawCharts(root, texts);
  for (const message of root.querySelectorAll("[data-fades]")) setTimeout(() => message.remove(), 12000);
}
document.addEventListener("htmx:afterSettle", (event) => prepare(event.target));
document.addEventListener("htmx:oobAfterSwap", (event) => prepare(event.target));
prepare(document);
